"""Does the store agree with itself? References, sizes, sums and files, all counted anew."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from engine.mailbox.large import our_files
from engine.mailbox.layout import (
    LARGE,
    NO_FILE,
    ContentRow,
    Databases,
    MailboxRow,
    MessageRow,
    chunk_key,
    file_name,
    uid_of,
)
from engine.mailbox.snapshot import Snapshot


def problems(snapshot: Snapshot, databases: Databases, path: Path) -> Iterator[str]:
    """Every contradiction, in words. One long transaction, and memory that grows with the number of messages."""
    references: Counter[bytes] = Counter()
    sums: dict[bytes, tuple[int, int, int]] = {}  # mailbox → messages, octets, highest UID
    contents = {key: ContentRow.parse(value) for key, value in snapshot.scan(databases.content)}
    for key, value in snapshot.scan(databases.message):
        message, mailbox = MessageRow.parse(value), key[:12]
        count, size, _ = sums.get(mailbox, (0, 0, 0))
        sums[mailbox] = (count + 1, size + message.size, uid_of(key))
        references[message.content] += 1
        content = contents.get(message.content)
        if content is None:
            yield f"message {key.hex()} has no content"
        elif len(message.heading) + content.size != message.size:
            yield f"message {key.hex()} has a wrong size"
    yield from _mailboxes(snapshot, databases, sums)
    yield from _chunks(snapshot, databases, contents)
    yield from _files(contents, path / LARGE)
    for name, content in contents.items():
        if references[name] != content.references:
            yield f"content {name.hex()} counts {content.references} references, and has {references[name]}"


def _mailboxes(snapshot: Snapshot, databases: Databases, sums: dict[bytes, tuple[int, int, int]]) -> Iterator[str]:
    validities: Counter[int] = Counter()
    known = set()
    for key, value in snapshot.scan(databases.mailbox):
        row = MailboxRow.parse(value)
        validities[row.uidvalidity] += 1
        known.add(key)
        count, size, highest = sums.get(key, (0, 0, 0))
        if (row.messages, row.size) != (count, size):
            yield f"mailbox {key.hex()} counts {row.messages} messages of {row.size} octets, and has {count} of {size}"
        if highest >= row.uidnext:
            yield f"mailbox {key.hex()} has UID {highest}, and would give out {row.uidnext}"
    yield from (f"mailbox {key.hex()} has messages, and no record" for key in sums.keys() - known)
    yield from (f"UIDVALIDITY {number} was given out twice" for number, times in validities.items() if times > 1)
    for _, value in snapshot.scan(databases.delivered):
        if len(value) != 8:
            yield "a record of a delivery is malformed"


def _chunks(snapshot: Snapshot, databases: Databases, contents: dict[bytes, ContentRow]) -> Iterator[str]:
    found = dict.fromkeys(contents, (0, 0))
    for key, value in snapshot.scan(databases.chunk):
        number, size = found.get(key[:24], (-1, 0))
        if number < 0:
            yield f"chunk {key.hex()} belongs to no content"
            continue
        if key != chunk_key(key[:24], number):
            yield f"content {key[:24].hex()} lacks chunk {number}"
        found[key[:24]] = (number + 1, size + len(value))
    for name, content in contents.items():
        if found[name] != (content.chunks, content.inline):
            yield f"content {name.hex()} should have {content.chunks} chunks of {content.inline} octets: {found[name]}"


def _files(contents: dict[bytes, ContentRow], folder: Path) -> Iterator[str]:
    orphans = our_files(folder)
    for key, content in contents.items():
        if content.token == NO_FILE:
            continue
        name = file_name(key, content.token)
        orphans.discard(name)
        path = folder / name
        if not path.exists():
            yield f"content {key.hex()} has lost its file"
        elif path.stat().st_size != content.filed:
            yield f"the file of content {key.hex()} has {path.stat().st_size} octets instead of {content.filed}"
    yield from (f"the file {name} belongs to no content" for name in orphans)
