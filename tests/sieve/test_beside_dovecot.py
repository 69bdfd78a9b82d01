"""The scripts of the table in Dovecot's interpreter: it wants the same done."""

import os
import pwd
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.sieve.flags import split
from tests.sieve.cases import CASES
from tests.sieve.trying import RECIPIENT, SENDER, Case
from tests.support.programs import marks, path_of

pytestmark = marks("sieve-test")

# Dovecot wants a user that is not root, and reads all of its settings from one file.
SETTINGS = """
mail_location = maildir:{folder}/mail
mail_uid = {user}
mail_gid = {group}
first_valid_uid = 1
log_path = /dev/stderr
ssl = no
recipient_delimiter = +
plugin {{
  sieve_extensions = +editheader +vacation-seconds +imap4flags
}}
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    user = pwd.getpwnam("nobody") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    with tempfile.TemporaryDirectory(prefix="postroad-sieve-") as name:  # pytest's own are closed to other users
        folder = Path(name)
        (folder / "dovecot.conf").write_text(SETTINGS.format(folder=folder, user=user.pw_uid, group=user.pw_gid))
        if os.getuid() == 0:
            os.chown(folder, user.pw_uid, user.pw_gid)
        yield folder


@pytest.mark.parametrize("case", [case for case in CASES if case.elsewhere], ids=lambda case: case.name)
def test_dovecot_wants_the_same(case: Case, folder: Path) -> None:
    wanted = ["keep"] if case.wanted == ["error"] else case.wanted
    assert sorted(tried(folder, case)) == sorted(map(in_order, wanted))


def in_order(action: str) -> str:
    """The action with its flags in the order of their letters."""
    what, *words = action.split(" ")
    flags = {word for word in words if word.startswith("\\") or what == "keep" or word in ("custom", "x")}
    return " ".join([what, *(word for word in words if word not in flags), *sorted(flags)])


def tried(folder: Path, case: Case) -> list[str]:
    """What `sieve-test` says would be done, in our short words."""
    (folder / "case.sieve").write_text(case.script)
    (folder / "letter.eml").write_bytes(case.letter)
    done = subprocess.run(
        [
            path_of("sieve-test"), "-c", folder / "dovecot.conf", "-f", SENDER, "-r", RECIPIENT, "-a", RECIPIENT,
            folder / "case.sieve", folder / "letter.eml",
        ],
        capture_output=True, text=True, errors="replace", timeout=60, check=False,
    )  # fmt: skip
    if "resolved with successful implicit keep" in done.stderr:
        return ["keep"]
    assert done.returncode == 0, done.stderr
    return words(done.stdout)


def words(said: str) -> list[str]:
    found: list[str] = []
    for line in said.splitlines():
        if match := re.match(r" \* store message in folder: (.*)", line):
            found.append("keep" if match[1] == "INBOX" else f"fileinto {match[1]}")
        elif match := re.match(r" +\+ add IMAP flags: *(.*)", line):
            found[-1] = " ".join([found[-1], *sorted(split([match[1]]))])
        elif match := re.match(r" \* redirect message to: <(.*)>", line):
            found.append(f"redirect {match[1]}")
        elif match := re.match(r" \* reject message with reason: (.*)", line):
            found.append(f"reject {match[1].strip()}")
        elif line.startswith(" * send vacation message"):
            found.append(f"reply {SENDER}")
        elif line.startswith(" * discard"):
            found.append("discard")
        elif line.startswith(" * ") and "duplicate" not in line:
            found.append(line.strip(" *"))
    return found
