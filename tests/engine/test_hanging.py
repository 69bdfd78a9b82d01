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
    print("spinning", flush=True)
    while True: pass

tell_when_asked(Path(sys.argv[1]), "mail-0")
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
            assert worker.stdout.readline() == b"spinning\n"
            worker.send_signal(hanging.ASK)
            said = until(lambda: hanging.where(tmp_path, "mail-0"), "the calls")
        finally:
            worker.kill()
    assert said.startswith(f"{program}:8 in spin < {program}:11 in <module>")
