"""A worker that hangs says where, though its interpreter never comes to itself."""

import subprocess
import sys
from pathlib import Path

from engine.runtime import hanging
from tests.support.server import ROOT, until

PROGRAM = """
import sys
from pathlib import Path
from engine.runtime.hanging import tell_when_asked

def spin():
    while True: pass

tell_when_asked(Path(sys.argv[1]), "mail-0")
print("asked for it", flush=True)
spin()
"""


def test_a_worker_that_never_gives_way(tmp_path: Path) -> None:
    assert hanging.where(tmp_path, "mail-0") == ""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    with subprocess.Popen(
        [sys.executable, str(program), str(tmp_path)], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
    ) as worker:
        try:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"asked for it\n"
            said = until(lambda: spins(worker, tmp_path), "the calls")
        finally:
            worker.kill()
    assert said.endswith(f"{program}:7 in spin < {program}:11 in <module>")


def spins(worker: subprocess.Popen[bytes], folder: Path) -> str:
    """What it has written, once it is there: it may have been asked a moment too early."""
    worker.send_signal(hanging.ASK)
    found = hanging.where(folder, "mail-0")
    return found if " in spin" in found else ""
