"""What a client knows of its mailbox by what it was told alone: it believes each response, and checks what it can."""

import re

RESPONSE = re.compile(rb"\* (?:(\d+) )?([A-Z]+) ?(.*)", re.S)
BY_NUMBER = ("FETCH", "STORE", "SEARCH", "SORT", "THREAD")
"""Commands amid which no number may change (RFC 9051 7.5.1)."""


def uid_set(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition(":")
        found += range(int(first), int(last or first) + 1)
    return found


class Told:
    """A message as far as the client knows it: what it was not told is None."""

    __slots__ = ("flags", "modseq", "uid")

    def __init__(self, uid: int | None = None) -> None:
        self.uid = uid
        self.flags: frozenset[str] | None = None
        self.modseq = 0


class Knowledge:
    """The selected mailbox, message by message. ``by_uid``: it was promised VANISHED in the place of EXPUNGE."""

    def __init__(self, *, by_uid: bool, uid_only: bool, condstore: bool) -> None:
        self.by_uid = by_uid
        self.uid_only = uid_only
        self.condstore = condstore
        self.messages: list[Told] = []
        self.keywords: set[str] = set()
        self.found: list[int] = []  # by the last SEARCH
        self.validity = 0
        self.highest = 0
        self.earlier: list[int] = []  # UIDs that VANISHED (EARLIER) named
        self.code = ""  # of the tagged response
        self.copied = ""  # COPYUID

    def take(self, responses: list[bytes], command: str) -> str:
        """What is said of a command, its end last; the status. Flags that the command itself set are not thought of."""
        self.found, self.earlier, self.code = [], [], ""
        *untagged, end = responses
        for response in untagged:
            self._take(response, command)
        status, _, rest = end.decode().partition(" ")
        if rest.startswith("["):
            self.code = rest[1 : rest.index("]")]
            self._take_code(self.code)
        return status

    def _take(self, response: bytes, command: str) -> None:
        found = RESPONSE.fullmatch(response)
        assert found is not None, response
        number, name, rest = int(found[1] or 0), found[2].decode(), found[3].decode()
        match name:
            case "EXISTS":
                assert number >= len(self.messages), "messages went without a word"
                self.messages += [Told() for _ in range(number - len(self.messages))]
            case "EXPUNGE":
                assert command not in BY_NUMBER, "a number changed amid a command by numbers"
                assert not self.by_uid
                assert 1 <= number <= len(self.messages), "a message went that was not there"
                del self.messages[number - 1]
            case "VANISHED":
                self._vanish(rest, command)
            case "FETCH":
                assert not self.uid_only
                assert 1 <= number <= len(self.messages), "a message was told of that was not there"
                self._fetched(self.messages[number - 1], rest)
            case "UIDFETCH":
                assert self.uid_only
                self._fetched(self._with_uid(number), rest)
            case "FLAGS":
                self.keywords = {word for word in rest.strip("()").split() if not word.startswith("\\")}
            case "SEARCH":
                self.found = [int(word) for word in re.sub(r" ?\(MODSEQ \d+\)", "", rest).split()]
            case "ESEARCH":
                every = re.search(r"ALL (\S+)", rest)
                self.found = uid_set(every[1]) if every else []
            case "OK":
                self._take_code(rest[1 : rest.index("]")])

    def _take_code(self, code: str) -> None:
        name, _, value = code.partition(" ")
        if name == "UIDVALIDITY":
            self.validity = int(value)
        elif name == "COPYUID":
            self.copied = value
        elif name == "HIGHESTMODSEQ":
            assert int(value) >= self.highest, "HIGHESTMODSEQ went down"
            self.highest = int(value)

    def _vanish(self, rest: str, command: str) -> None:
        uids = uid_set(rest.rpartition(" ")[2])
        if rest.startswith("(EARLIER)"):
            self.earlier += uids
            known = {message.uid for message in self.messages}
            assert not known & set(uids), "what has a number is not gone earlier"
            return
        assert self.by_uid
        assert command not in BY_NUMBER, "a number changed amid a command by numbers"
        for uid in uids:
            self.messages.remove(self._with_uid(uid))

    def _with_uid(self, uid: int) -> Told:
        """That message. UIDs ascend: one whose UID was never told lies between those of its neighbours.

        Where nothing is told by numbers, any that is unknown may be it.
        """
        unknown: Told | None = None
        for message in self.messages:
            if message.uid == uid:
                return message
            if message.uid is None:
                unknown = unknown or message
            elif self.uid_only:
                continue
            elif message.uid < uid:
                unknown = None
            else:
                break
        assert unknown is not None, f"nothing is known of UID {uid}"
        unknown.uid = uid
        return unknown

    def _fetched(self, message: Told, rest: str) -> None:
        uid = re.search(r"\bUID (\d+)", rest)
        flags = re.search(r"FLAGS \(([^)]*)\)", rest)
        modseq = re.search(r"MODSEQ \((\d+)\)", rest)
        if uid:
            assert message.uid in (None, int(uid[1])), "a number has become another message's"
            message.uid = int(uid[1])
        if flags:
            message.flags = frozenset(flags[1].split())
            for word in message.flags:
                assert word.startswith("\\") or word in self.keywords, f"the keyword {word} came unannounced"
        if modseq:
            assert int(modseq[1]) >= message.modseq, "MODSEQ went down"
            message.modseq = int(modseq[1])
