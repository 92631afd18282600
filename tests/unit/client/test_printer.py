"""What `cortex run` says, on streams that cannot take all of it."""

import subprocess
import sys

SCRIPT = """
from cortex_client.running import printer
said = printer.Printer()
for text in ("gr\\u00fcn \\u2192 \\udc80", "last"):
    said.out(text)
assert said.close(60)
"""


def test_letters_that_a_terminal_has_not_end_nothing() -> None:
    given = {"PYTHONIOENCODING": "latin-1", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=given, capture_output=True, check=True)
    assert done.stdout == b"gr\\xfcn \\u2192 \\udc80\nlast\n", done.stderr
