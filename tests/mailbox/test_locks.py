"""The locks of POP3: between sessions of one process, and between processes."""

import os
import subprocess
import sys
from pathlib import Path

from engine.mailbox.locks import RECORDS, MailboxLocks, Refused

TAKE = "import sys; from engine.mailbox.locks import *; print(MailboxLocks(Path(sys.argv[1])).take(int(sys.argv[2])))"


def elsewhere(path: Path, account: int) -> str:
    """What another process hears that wants the mailbox."""
    command = [sys.executable, "-c", TAKE, str(path), str(account)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_one_session_has_a_mailbox(tmp_path: Path) -> None:
    locks = MailboxLocks(tmp_path / "locks")
    assert locks.take(7) is None
    assert locks.take(7) is Refused.IN_USE
    assert locks.take(8) is None
    locks.release(7)
    assert locks.held == {8}
    assert locks.take(7) is None
    locks.close()


def test_another_process_has_it(tmp_path: Path) -> None:
    locks = MailboxLocks(tmp_path / "locks")
    assert locks.take(7) is None
    assert elsewhere(tmp_path / "locks", 7) == str(Refused.IN_USE)
    assert elsewhere(tmp_path / "locks", 8) == "None"
    assert locks.take(8) is None, "the process that had it is dead"
    locks.release(7)
    assert elsewhere(tmp_path / "locks", 7) == "None"
    locks.close()


def test_a_mailbox_that_was_opened_a_moment_ago(tmp_path: Path) -> None:
    now = 1000.0
    one = MailboxLocks(tmp_path / "locks", lambda: now)
    assert one.take(7, delay=60) is None
    one.release(7)
    now = 1059.0
    assert one.take(7, delay=60) is Refused.TOO_SOON
    assert one.held == set()
    assert one.take(7) is None, "who has no delay need not wait"
    one.release(7)
    now = 1061.0
    assert one.take(7, delay=60) is None
    one.release(7)
    now = 5.0
    assert one.take(7, delay=60) is None, "the machine was started anew, and its clock with it"
    one.close()


def test_an_account_of_any_number(tmp_path: Path) -> None:
    locks = MailboxLocks(tmp_path / "locks")
    for account in (2**64 - 1, 2**63, 2**40):
        assert locks.take(account, delay=1) is None
        assert elsewhere(tmp_path / "locks", account) == str(Refused.IN_USE)
        locks.release(account)
        assert locks.take(account, delay=60) is Refused.TOO_SOON
    assert os.stat(tmp_path / "locks").st_blocks * 512 <= 65536
    assert locks.take(7 + RECORDS, delay=60) is None
    assert locks.take(7, delay=60) is None, "two of the same record know nothing of one another"
    locks.close()
