"""Content that messages share: counted references, and what goes with the last of them."""

from collections.abc import Iterable
from itertools import islice

from engine.mailbox.large import Staged
from engine.mailbox.layout import Databases, chunk_key, chunk_keys, file_name
from engine.mailbox.rows import NO_FILE, ContentRow, pack_content
from engine.mailbox.snapshot import Snapshot
from engine.storage.batch import Batch, Database


def refer(batch: Batch, databases: Databases, key: bytes, added: int, staged: Staged) -> bool:
    """Count ``added`` new references; store the content where it is new. Whether the staged file is in use from now."""
    octets = batch.get(databases.content, key)
    if octets is None:
        bring(batch, databases, key, added, staged)
        return True
    content = ContentRow.parse(octets)
    batch.put(databases.content, key, content._replace(references=content.references + added).octets())
    return False


def bring(batch: Batch, databases: Databases, key: bytes, references: int, staged: Staged) -> None:
    """Store content under a key that nothing has."""
    bring_all(batch, databases, [(key, staged)], references)


def bring_all(
    batch: Batch, databases: Databases, contents: Iterable[tuple[bytes, Staged]], references: int = 1
) -> None:
    """The same for several, each of which so many refer to."""
    chunks: list[tuple[bytes, bytes]] = []
    rows = []
    for key, staged in contents:
        pieces = staged.chunks
        chunks += zip(chunk_keys(key, len(pieces)), pieces, strict=True)
        rows.append((key, pack_content(references, len(pieces), staged.inline, staged.filed, staged.token)))
    batch.put_all(databases.chunk, chunks)
    batch.put_all(databases.content, rows)


def share(batch: Batch, databases: Databases, keys: Iterable[bytes]) -> None:
    """Count one more reference for each key. LookupError: there is no such content."""
    for key in keys:
        octets = batch.get(databases.content, key)
        if octets is None:
            raise LookupError(f"content {key.hex()} is lost; run a check of the store")
        content = ContentRow.parse(octets)
        batch.put(databases.content, key, content._replace(references=content.references + 1).octets())


def release(batch: Batch, databases: Databases, key: bytes) -> list[str]:
    """Take one reference away; with the last one the content goes. The names of files that may go with it."""
    octets = batch.get(databases.content, key)
    if octets is None:
        return []
    content = ContentRow.parse(octets)
    if content.references > 1:
        batch.put(databases.content, key, content._replace(references=content.references - 1).octets())
        return []
    batch.delete(databases.content, key)
    for number in range(content.chunks):
        batch.delete(databases.chunk, chunk_key(key, number))
    return [] if content.token == NO_FILE else [file_name(key, content.token)]


def files_in_use(snapshot: Snapshot, databases: Databases) -> set[str]:
    """The names of all files that content lies in."""
    contents = ((key, ContentRow.parse(value)) for key, value in snapshot.scan(databases.content))
    return {file_name(key, content.token) for key, content in contents if content.token != NO_FILE}


def keys(batch: Batch, database: Database, prefix: bytes, limit: int | None = None) -> list[bytes]:
    """The keys that begin with ``prefix``, at most ``limit`` of them."""
    return [key for key, _ in islice(Snapshot(batch.transaction).scan(database, prefix), limit)]
