"""The measures of the webmail, in short: nothing here depends on time."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.programs import needs

ROOT = Path(__file__).parents[2]


def told(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bench.webmail", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_lists_of_a_mailbox(tmp_path: Path) -> None:
    said = told("lists", "--messages", "1000", "--turns", "5", "--folder", str(tmp_path))
    assert len(re.findall(r"(?m)^(?:the whole|conv|plain|search).*?( +[\d.]+){4}$", said)) == 7
    assert "memory of all processes" in said


@needs("smtp-source", "smtp-sink")
def test_people_beside_the_mail(tmp_path: Path) -> None:
    said = told(
        "crowd", "--people", "3", "--think", "0.2", "--stored", "100", "--rounds", "1", "--seconds", "3", "--folder",
        str(tmp_path),
    )  # fmt: skip
    assert re.search(r"median: [\d,]+ messages/s alone, [\d,]+ beside 3 people: \d\.\d\d", said)
    for what in ("sign in", "page", "open"):
        assert re.search(rf"(?m)^{what} +\d+ +\d+ +\d+$", said), said
