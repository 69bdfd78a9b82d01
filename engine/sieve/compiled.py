"""A script as it is run, in a form that can be kept: written by ``dumps``, read by ``loads``."""

from typing import TypeAlias

import msgspec

VERSION = 1
"""Of the form. What was kept in another one is compiled again from the script."""


class Template(msgspec.Struct, frozen=True, gc=False):
    """A string with variables in it (RFC 5229 3): ``texts[0]``, the value of ``names[0]``, ``texts[1]``…

    A name is in lower case. One of digits alone is a match variable; one after ``global.`` is shared (RFC 6609 3.4.2).
    """

    texts: list[str]
    names: list[str]


Words: TypeAlias = str | Template
Value: TypeAlias = bool | int | str | Template | list[Words]


class Node(msgspec.Struct, frozen=True, array_like=True):
    """A command or a test.

    ``options`` holds the tags that were given, with their values or True; and under the names "match" and "part" which
    of the tags that exclude each other was.
    """

    name: str
    line: int
    options: dict[str, Value]
    arguments: list[Value]
    tests: "list[Node]"
    block: "list[Node]"


class Script(msgspec.Struct, frozen=True):
    """A script that was found to be right. ``requires``: the extensions that it uses, in order of their names."""

    version: int
    requires: list[str]
    commands: list[Node]


def dumps(script: Script) -> bytes:
    """The script in MessagePack."""
    return msgspec.msgpack.encode(script)


def loads(octets: bytes) -> Script | None:
    """What ``dumps`` wrote; None where it is of another version, or none at all."""
    try:
        script = msgspec.msgpack.decode(octets, type=Script)
    except (msgspec.DecodeError, RecursionError):
        return None
    return script if script.version == VERSION else None
