"""Jupyter's own conformance suite (PyPI's jupyter_kernel_test) on our kernel: conformance.py KERNEL_JSON"""

import json
import sys
import unittest

import jupyter_kernel_test
from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

with open(sys.argv.pop(1), encoding="utf-8") as file:
    SPEC = KernelSpec(**json.load(file))


class TypeScriptKernel(jupyter_kernel_test.KernelTests):
    kernel_name = "lower-bound"
    language_name = "typescript"
    file_extension = ".ts"
    code_hello_world = "console.log('hello, world')"
    code_stderr = "console.error('oops')"
    completion_samples = [
        {"text": "Math.ab", "matches": {"abs"}},
        {"text": "const list = [1]; list.leng", "matches": {"length"}},
    ]
    complete_code_samples = ["1", "const x = 3;", "function f() { return 1 }"]
    incomplete_code_samples = ["function f() {", "f(1,", "`a"]
    invalid_code_samples = ["let x = )", "}}"]
    code_generate_error = "throw new Error('x')"
    code_execute_result = [{"code": "6 * 7", "result": "42"}, {"code": "'a'", "result": "'a'"}]
    code_display_data = [{"code": "display({ 'image/png': 'iVBORw0KGgo=' })", "mime": "image/png"}]
    code_clear_output = "clearOutput()"
    supported_history_operations = ("tail", "range", "search")
    code_history_pattern = "6 ? 7"
    code_inspect_sample = "Math.max"

    @classmethod
    def setUpClass(cls):
        cls.km = KernelManager()
        cls.km._kernel_spec = SPEC
        cls.km.start_kernel()
        cls.kc = cls.km.client()
        cls.kc.start_channels()
        cls.kc.wait_for_ready(timeout=60)


unittest.main(verbosity=2)
