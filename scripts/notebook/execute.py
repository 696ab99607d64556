"""Executes a notebook in the project's kernel and reports on each code cell, one JSON object a line.

usage: execute.py IN.ipynb OUT.ipynb [--timeout SECONDS]

The outputs go to OUT, also after an error. Exit status 1 when a cell failed, 2 on a timeout or a dead kernel.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError


def report(**fields):
    print(json.dumps(fields, ensure_ascii=False), flush=True)


class ReportingClient(NotebookClient):
    """Tells of each code cell when it ends: its number, how long it took, and its error if it had one."""

    async def async_execute_cell(self, cell, cell_index, *args, **kwargs):
        started = time.monotonic()
        executed = await super().async_execute_cell(cell, cell_index, *args, **kwargs)
        if cell.cell_type == "code":
            errors = [out for out in cell.outputs if out.output_type == "error"]
            text = "\n".join(errors[0].traceback) if errors else None
            report(cell=cell_index + 1, id=cell.get("id"), seconds=time.monotonic() - started, error=text)
        return executed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("source", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--timeout", type=int, default=1800)
    arguments = parser.parse_args()

    notebook = nbformat.read(arguments.source, as_version=4)
    client = ReportingClient(
        notebook,
        kernel_name="lower-bound",
        timeout=arguments.timeout,
        allow_errors=True,
        resources={"metadata": {"path": str(arguments.source.parent)}},
    )
    status = 0
    try:
        client.execute()
    except (CellTimeoutError, DeadKernelError) as failure:
        report(failure=str(failure).strip().splitlines()[0])
        status = 2
    finally:
        arguments.result.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, arguments.result)
    failed = any(out.output_type == "error" for cell in notebook.cells for out in cell.get("outputs", []))
    sys.exit(status or int(failed))


if __name__ == "__main__":
    main()
