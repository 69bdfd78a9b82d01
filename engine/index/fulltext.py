"""The words of one account's messages, in a file of SQLite of its own, and what is found by them.

    message  number, content, whole       a content with its number; whole: all its words are kept
    word     number, word                 every word that ever was in one of them
    part     the three letters at each place of each word: where words are looked for by parts of them
    text     the numbers of the words of each message
    mark     mailbox, uidvalidity, uid    how far each mailbox is done

FTS5 holds the last two as lists of numbers alone. It cannot take a message away again without its text, so what is
removed leaves its numbers in ``text``, and nobody finds them any more; a file of which most is so is built anew.
"""

import json
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from engine.index.layout import Damaged, Mark
from engine.index.query import Found, Text
from engine.index.words import Term, terms
from engine.storage.environment import Full, StorageError

FORMAT = 2
"""Of the file and of the words in it, as ``PRAGMA user_version``. 0 is that of a file that is being made."""

TEXTS = "text"
"""The folder, in that of the index, of one file for each account."""

AT_ONCE = 64
"""Words in one question to FTS5, whose expressions have a limit."""

CACHE = 1024
"""KiB of pages that one file has in memory."""

PATIENCE = 5.0
"""Seconds to wait for another process that recovers the file."""

_SCHEMA = f"""
CREATE TABLE message (number INTEGER PRIMARY KEY AUTOINCREMENT, content BLOB UNIQUE NOT NULL, whole INTEGER NOT NULL);
CREATE INDEX partly ON message (number) WHERE NOT whole;
CREATE TABLE word (number INTEGER PRIMARY KEY, word TEXT UNIQUE NOT NULL);
CREATE VIRTUAL TABLE part USING fts5(word, content='', detail=none, columnsize=0, tokenize='trigram case_sensitive 1');
CREATE VIRTUAL TABLE text USING fts5(words, content='', detail=none, columnsize=0, tokenize='ascii');
CREATE TABLE mark (mailbox INTEGER PRIMARY KEY, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL);
PRAGMA user_version = {FORMAT};
"""


class Worded(NamedTuple):
    """The words of one content, for one account."""

    content: bytes  # key
    header: Collection[str]
    body: Collection[str]
    whole: bool = True


def file_of(path: Path, account: int) -> Path:
    """The file of an account, in the folder of the index."""
    return path / TEXTS / f"{account}.sqlite3"


def remove(file: Path) -> None:
    """OSError."""
    for name in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        name.unlink(missing_ok=True)


class FullText:
    """One account's file, open for changes; made where there is none. StorageError (Damaged; Full: no room)."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        with _errors():
            self._connection = sqlite3.connect(file, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            with _errors():
                self._connection.execute("PRAGMA journal_mode = WAL")  # so that readers never wait, nor we for them
                self._connection.execute("PRAGMA synchronous = NORMAL")  # a crash of the machine loses the last commits
                self._connection.execute(f"PRAGMA cache_size = -{CACHE}")
                (found,) = self._connection.execute("PRAGMA user_version").fetchone()
                if not found:
                    self._connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
                elif found != FORMAT:
                    raise Damaged(f"{file} has format {found}")
        except StorageError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def missing(self, contents: Sequence[bytes]) -> set[bytes]:
        """Those whose words are not there yet."""
        with _errors():
            ask = self._connection.execute
            return {c for c in contents if ask("SELECT 1 FROM message WHERE content = ?", (c,)).fetchone() is None}

    def mark(self, mailbox: int) -> Mark:
        """How far a mailbox is done."""
        return self.marks().get(mailbox, Mark(0))

    def marks(self) -> dict[int, Mark]:
        with _errors():
            return _marks(self._connection)

    def add(self, messages: Iterable[Worded], marks: Iterable[tuple[int, Mark]]) -> None:
        """Keep these, and how far mailboxes are done with them; all or nothing."""
        with self._change() as connection:
            new = list(self._numbered(connection, messages))
            numbers = self._numbers(connection, {word for _, one in new for word in (*one.header, *one.body)})
            connection.executemany(
                "INSERT INTO text (rowid, words) VALUES (?, ?)", [(key, _tokens(one, numbers)) for key, one in new]
            )
            connection.executemany(
                "INSERT OR REPLACE INTO mark VALUES (?, ?, ?)", [(mailbox, *mark) for mailbox, mark in marks]
            )

    def after(self, content: bytes, limit: int) -> list[bytes]:
        """The contents that follow that one in the order of keys, at most so many."""
        with _errors():
            ask = "SELECT content FROM message WHERE content > ? ORDER BY content LIMIT ?"
            return [key for (key,) in self._connection.execute(ask, (content, limit))]

    def forget(self, contents: Iterable[bytes]) -> None:
        """Let nobody find these any more."""
        with self._change() as connection:
            connection.executemany("DELETE FROM message WHERE content = ?", [(content,) for content in contents])

    def unmark(self) -> None:
        """Look at all mailboxes anew."""
        with self._change() as connection:
            connection.execute("DELETE FROM mark")

    def is_mostly_gone(self, least: int) -> bool:
        """Whether more than half of what was put in, and at least so many messages, is gone."""
        with _errors():
            ask = "SELECT (SELECT coalesce(max(seq), 0) FROM sqlite_sequence), (SELECT count(*) FROM message)"
            ever, there = self._connection.execute(ask).fetchone()
        return bool(ever - there > max(there, least))

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with _errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has ended it already
                    self._connection.execute("ROLLBACK")
                raise

    def _numbered(
        self, connection: sqlite3.Connection, messages: Iterable[Worded]
    ) -> Iterator[tuple[int | None, Worded]]:
        """Those that are new, with their numbers."""
        for message in messages:
            ask = "INSERT OR IGNORE INTO message (content, whole) VALUES (?, ?)"
            done = connection.execute(ask, (message.content, message.whole))
            if done.rowcount:
                yield done.lastrowid, message

    def _numbers(self, connection: sqlite3.Connection, words: Set[str]) -> dict[str, int]:
        """The number of each word; one that is new gets one."""
        ask = "SELECT word, number FROM word WHERE word IN (SELECT value FROM json_each(?))"
        known = dict(connection.execute(ask, (json.dumps(list(words)),)))
        (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM word").fetchone()
        new = [(word, number) for number, word in enumerate(sorted(words - known.keys()), last + 1)]
        connection.executemany("INSERT INTO word (word, number) VALUES (?, ?)", new)
        connection.executemany("INSERT INTO part (word, rowid) VALUES (?, ?)", new)
        return known | dict(new)


def _tokens(message: Worded, numbers: Mapping[str, int]) -> str:
    """What stands in ``text`` for a message: what is only in its header is marked."""
    body = {f"{numbers[word]:x}" for word in message.body}
    return " ".join([*body, *(f"h{numbers[word]:x}" for word in set(message.header).difference(message.body))])


def search(file: Path, query: Text) -> Found:
    """What an account's file says. Nothing of what cannot be read: then all is to be looked at."""
    wanted = terms(query.text)
    if not wanted.terms or not file.exists():
        return Found()
    try:
        with closing(
            sqlite3.connect(f"{file.as_uri()}?mode=ro", timeout=PATIENCE, isolation_level=None, uri=True)
        ) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (FORMAT,):
                return Found()
            connection.execute("BEGIN")  # all of one moment
            return _found(connection, wanted.terms, header=query.header, exact=wanted.exact)
    except sqlite3.Error:
        return Found()


def _found(connection: sqlite3.Connection, wanted: Sequence[Term], *, header: bool, exact: bool) -> Found:
    numbers: set[int] | None = None
    if not exact:  # letters or two at an edge are in nearly all messages: the look at each will tell
        wanted = [term for term in wanted if term.is_word or len(term.word) >= 3] or wanted
    for term in sorted(wanted, key=lambda term: (not term.is_word, -len(term.word))):  # what is rare first
        having = _having(connection, term, header=header)
        numbers = having if numbers is None else numbers & having
        if not numbers:
            break
    ask = "SELECT content FROM message WHERE number IN (SELECT value FROM json_each(?))"
    contents = {content for (content,) in connection.execute(ask, (json.dumps(list(numbers or ())),))}
    partly = {content for (content,) in connection.execute("SELECT content FROM message WHERE NOT whole")}
    marks = _marks(connection)
    return Found(contents, partly - contents, marks) if exact else Found(frozenset(), contents | partly, marks)


def _having(connection: sqlite3.Connection, term: Term, *, header: bool) -> set[int]:
    """The numbers of the messages that have a word which fits."""
    words = _fitting(connection, term)
    (everything,) = connection.execute("SELECT coalesce(max(number), 0) FROM message").fetchone()
    found: set[int] = set()
    for start in range(0, len(words), AT_ONCE):
        some = [f'"{word:x}"' for word in words[start : start + AT_ONCE]]
        if header:
            some += [f'"h{word:x}"' for word in words[start : start + AT_ONCE]]
        ask = connection.execute("SELECT rowid FROM text WHERE text MATCH ?", (" OR ".join(some),))
        found.update(key for (key,) in ask)
        if len(found) >= everything:
            break
    return found


def _fitting(connection: sqlite3.Connection, term: Term) -> list[int]:
    """The numbers of the words that fit, the short ones, which are in most messages, first."""
    word = term.word
    if term.is_word:
        having, value = "word = ?", word
    elif term.begins:
        having, value = "word >= ?1 AND word < ?1 || char(0x10ffff)", word
    elif len(word) < 3:
        having, value = "instr(word, ?)", word
    else:
        having = "number IN (SELECT rowid FROM part WHERE part MATCH ?)"
        value = " AND ".join(f'"{word[start : start + 3]}"' for start in range(len(word) - 2))
    found = connection.execute(f"SELECT number, word FROM word WHERE {having}", (value,))
    return [key for key, other in sorted(found, key=lambda item: len(item[1])) if term.fits(other)]


def _marks(connection: sqlite3.Connection) -> dict[int, Mark]:
    return {mailbox: Mark(*mark) for mailbox, *mark in connection.execute("SELECT * FROM mark")}


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise Full(f"no room in the index: {error}") from error
        raise StorageError(f"the index failed: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Damaged(f"the index is damaged: {error}") from error
