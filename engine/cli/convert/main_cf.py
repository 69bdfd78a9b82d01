"""Postfix's main.cf and the text files of its maps, read as postconf(5) and postmap(1) say."""

import re
from collections.abc import Iterator
from pathlib import Path

_NESTED = 20
"""Steps of values that name others; more of them are a circle."""

_REFERENCE = re.compile(r"\$(?:(\$)|(\w+)|\{(\w+)(?:([?:])([^}]*))?\}|\((\w+)\))")

TEXT_MAPS = {"hash", "btree", "lmdb", "cdb", "dbm", "sdbm", "texthash"}
"""Kinds whose text stands in the file of their name. Others are queries and expressions."""

DEFAULTS = {
    "mydomain": "",  # made of myhostname
    "myorigin": "$myhostname",
    "mydestination": "$myhostname, localhost.$mydomain, localhost",
    "mynetworks": "127.0.0.0/8 [::1]/128",
    "inet_interfaces": "all",
    "inet_protocols": "all",
    "recipient_delimiter": "",
    "message_size_limit": "10240000",
    "alias_maps": "",
}
"""What Postfix does where nothing is said, as far as it matters here."""


class MainCf:
    """The settings, by name, with what they name put in."""

    def __init__(self, text: str, folder: Path) -> None:
        """``folder``: where copies of maps may be, which count before those where main.cf says they are."""
        self.given = dict(settings(text))
        self._folder = folder
        self._all = DEFAULTS | self.given
        host = self._all.setdefault("myhostname", "localhost.localdomain")
        self._all["mydomain"] = self._all["mydomain"] or host.partition(".")[2] or host

    def __getitem__(self, name: str) -> str:
        return self._expanded(self._all.get(name, ""), _NESTED)

    def _expanded(self, text: str, left: int) -> str:
        def value(found: re.Match[str]) -> str:
            dollar, plain, braced, condition, then, round_ = found.groups()
            if dollar:
                return "$"
            own = self._expanded(self._all.get(plain or braced or round_, ""), left - 1)
            if condition is None:
                return own
            return self._expanded(then, left - 1) if bool(own) is (condition == "?") else ""

        return _REFERENCE.sub(value, text) if left and "$" in text else text

    def words(self, name: str) -> list[str]:
        """A list, parted by commas and blanks; what stands in braces is one."""
        return re.findall(r"\{[^}]*\}|[^\s,]+", self[name])

    def entries(self, text: str) -> dict[str, str]:
        """The keys and values of a map such as ``hash:/etc/postfix/virtual``. LookupError where it is no text."""
        kind, _, name = text.removeprefix("proxy:").partition(":")
        if text.startswith("/"):
            kind, name = "texthash", text
        if kind == "inline":
            return dict(re.findall(r"([^\s,={}]+)\s*=\s*([^\s,}]+)", name))
        if kind not in TEXT_MAPS:
            raise LookupError(f"{text} is no file of text")
        return dict(table(self.text_of(name)))

    def text_of(self, name: str) -> str:
        """The text of a file: of its copy beside main.cf, if there is one. LookupError."""
        return text_of(self._folder, name)


def text_of(folder: Path, name: str) -> str:
    """The text of a file that a configuration names: of its copy in the folder, if there is one. LookupError."""
    copy = folder / Path(name).name
    try:
        return (copy if copy.is_file() else Path(name)).read_text(errors="replace")
    except OSError as error:
        raise LookupError(f"{name} cannot be read: {error.strerror}") from error


def settings(text: str) -> Iterator[tuple[str, str]]:
    """Name and value of each, continued lines joined; the last one of a name counts."""
    for line in logical_lines(text):
        name, equals, value = line.partition("=")
        if equals:
            yield name.strip(), " ".join(value.split())


def table(text: str) -> Iterator[tuple[str, str]]:
    """Key and value of each line of a map."""
    for line in logical_lines(text):
        key, _, value = line.strip().partition(" ") if "\t" not in line else line.strip().expandtabs().partition(" ")
        yield key.lower(), value.strip()


def aliases(text: str) -> Iterator[tuple[str, str]]:
    """Name and value of each line of an aliases(5) file."""
    for line in logical_lines(text):
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip().strip('"').lower(), value.strip()


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments; one that begins with a blank goes on with the line before."""
    gathered = ""
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            gathered += " " + line.strip()
            continue
        if gathered:
            yield gathered
        gathered = line.rstrip()
    if gathered:
        yield gathered


def seconds(text: str, unit: str) -> int:
    """A time such as ``5d``; without a letter it is in ``unit``. ValueError."""
    match = re.fullmatch(r"(\d+)([smhdw]?)", text)
    if match is None:
        raise ValueError(f"{text} is no time")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}[match[2] or unit]
