"""A session in `jupyter console`, as a person types it into a terminal: console.py TIMEOUT_SECONDS

Prints what the terminal showed; exit status 0 when each answer came and the console ended by itself with 0.
"""

import os
import sys

import pexpect

timeout = float(sys.argv[1])
child = pexpect.spawn(
    sys.executable,
    # A busy machine may take longer over is_complete than the second that the console waits by itself.
    ["-m", "jupyter_console", "--kernel=lower-bound", f"--ZMQTerminalInteractiveShell.kernel_is_complete_timeout={timeout}"],
    env={**os.environ, "TERM": "vt100", "PROMPT_TOOLKIT_NO_CPR": "1"},
    encoding="utf-8",
    timeout=timeout,
    dimensions=(50, 200),
)
child.logfile_read = sys.stdout


COLOURS = r"(?:\x1b\[[0-9;?]*[A-Za-z])*"


def type_line(number, line):
    """Waits for the prompt with this number, then types."""
    child.expect(rf"In {COLOURS}\[{COLOURS}{number}{COLOURS}\]:")
    child.send(f"{line}\r")


def expect_result(value):
    child.expect(rf"Out.*{COLOURS}{value}\r")


type_line(1, "const f = (x: number) => {")  # is_complete: another line follows
child.send("return x + 1; }\r")
type_line(2, "f(41)")
expect_result(42)
type_line(3, "console.log('be' + 'gun'); while (true) {}")
child.expect("begun")
child.sendintr()
child.expect("KeyboardInterrupt: stopped")
type_line(4, "f(1)")
expect_result(2)
type_line(5, "\x04")  # Ctrl-D
child.expect("really want to exit")
child.sendline("y")
child.expect(pexpect.EOF)
child.close()
sys.exit(child.exitstatus)
