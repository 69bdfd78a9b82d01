"""What operators see of retention rules: what is in force, and what they would take."""

import time
from collections.abc import Iterator, Mapping

import msgspec

from engine.config import Retention
from engine.directory import Directory
from engine.operations.operator import Operator
from engine.operations.reading import Reading
from engine.oversight.retention import accounts, old


class OldRow(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of one folder that are older than a rule says."""

    address: str
    folder: str
    rule: str
    messages: int


def preview(
    directory: Directory, read: Reading, by: Operator, rules: Mapping[str, Retention], address: str = ""
) -> Iterator[OldRow]:
    """What goes in the next round, of all accounts or of one. Of those that are held nothing does. StorageError."""
    for whose in accounts(directory):
        if by.may(whose.address) and address in ("", whose.address):
            with read() as mailboxes:
                for found in old(mailboxes, rules, whose, time.time()):
                    yield OldRow(
                        address=whose.address, folder=found.folder, rule=found.rule, messages=len(found.uids)
                    )  # fmt: skip
