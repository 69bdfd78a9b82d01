"""What operators do with the audit log: look at it, follow its chain, take it away."""

from collections.abc import Iterable, Iterator

import msgspec

from engine.operations.operator import Operator
from engine.oversight import Chain, Entry, Oversight
from engine.oversight.entries import FIRST, digest, written


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What came of following the chain. ``number`` and ``hash`` are those of the last entry: to be written down."""

    number: int
    hash: str
    problems: tuple[str, ...]


def noted(by: Operator, entry: Entry) -> Entry:
    """Have it in the server's log as well that there is this entry, and which: who cuts the one must cut the other."""
    about = list(entry.about) or None
    by.tell("audited", number=entry.number, what=entry.what, about=about, hash=digest(written(entry)))
    return entry


def listed(
    opened: Oversight, by: Operator, *, count: int, before: int = 0, what: str = "", about: str = ""
) -> list[Entry]:
    """The last entries, the newest first; those before a number, of one kind, or about one address, where that is
    said. StorageError.
    """
    by.check_all()
    found: list[Entry] = []
    while len(found) < count:
        some = opened.latest(max(count, 200), before)
        if not some:
            break
        found += [one for one in some if what in ("", one.what) and (not about or about in one.about)]
        before = some[-1].number
    return found[:count]


def verified(lines: Iterable[bytes], by: Operator, seen: tuple[int, str] | None = None) -> Verified:
    """Follow the chain from its first entry. ``seen``: an entry's number and hash that somebody has written down
    before, which must be in it.
    """
    by.check_all()
    chain, problems = Chain(), list[str]()
    hashes = {0: FIRST}
    for octets in lines:
        if problem := chain.follow(octets):
            problems.append(problem)
        if seen is not None and chain.number == seen[0]:
            hashes[chain.number] = chain.hash
    if seen is not None and (found := hashes.get(seen[0])) != seen[1].lower():
        gone = f"the log has {chain.number} entries, and not the entry {seen[0]} any more that was seen"
        problems.append(f"entry {seen[0]} is another one than was seen" if found else gone)
    return Verified(number=chain.number, hash=chain.hash, problems=tuple(problems))


def exported(opened: Oversight, by: Operator, after: int = 0) -> Iterator[bytes]:
    """Each entry as it is written: lines of JSON, whose hashes anybody can work out. StorageError."""
    by.check_all()
    return opened.lines(after)
