"""Teaches papermill TypeScript: how parameters are written into a notebook, and read from its cell "parameters".

papermill has no entry point for languages. It loads those of "papermill.engine" when it is imported, and this module
is one of them; the engine itself is papermill's own.
"""

import json
import re

from papermill.engines import NBClientEngine
from papermill.exceptions import PapermillException
from papermill.models import Parameter
from papermill.translators import Translator, papermill_translators

__all__ = ["NBClientEngine", "TypeScriptTranslator"]

NAME = re.compile(r"[A-Za-z_$][\w$]*")
DECLARATION = re.compile(
    r"^(?:let|const|var)\s+(?P<name>[A-Za-z_$][\w$]*)\s*(?::\s*(?P<type>[^=]+?))?\s*=\s*(?P<value>.*?);?"
    r"(?:\s*//\s*(?P<help>.*))?$"
)


def has_own_type(value):
    """Whether TypeScript infers of the literal what a cell would have written: a string may stand for one of a union."""
    if isinstance(value, list):
        return len(value) > 0 and all(map(has_own_type, value))
    return isinstance(value, (bool, int, float))


class TypeScriptTranslator(Translator):
    """Parameters as `let` declarations: in the project's kernel the last declaration of a name counts."""

    @classmethod
    def translate(cls, val):
        """JSON, with NaN and Infinity, is TypeScript."""
        return json.dumps(val, ensure_ascii=False, default=str)

    @classmethod
    def comment(cls, cmt_str):
        return f"// {cmt_str}".strip()

    @classmethod
    def codify(cls, parameters, comment="Parameters"):
        lines = [cls.comment(comment)]
        for name, value in parameters.items():
            if not NAME.fullmatch(name):
                raise PapermillException(f"papermill: parameter {name!r}, expected a TypeScript name. Rename it.")
            of_type = "" if has_own_type(value) else ": any"
            lines.append(f"let {name}{of_type} = {cls.translate(value)};")
        return "\n".join(lines) + "\n"

    @classmethod
    def inspect(cls, parameters_cell):
        found = map(DECLARATION.match, map(str.strip, parameters_cell["source"].splitlines()))
        return [
            Parameter(match["name"], match["type"] or "None", match["value"], match["help"] or "")
            for match in found
            if match
        ]


papermill_translators.register("typescript", TypeScriptTranslator)
