"""What a program is told of a message beside its content: by its environment, its arguments, or a line of JSON."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from engine.message import Message

RECIPIENTS = 100_000
"""Octets of the recipients in the environment: the kernel takes no more than 128 KiB in one variable (execve(2))."""

PLACEHOLDERS = ("id", "sender", "recipients", "peer", "login")
"""What arguments may hold in braces. Not what a client may freely say, such as HELO."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")

_ENCODER = msgspec.json.Encoder()


def environment(message: Message | None = None) -> dict[str, str]:
    """The whole environment of a program: nothing of ours but the path, and what there is to say of the message."""
    given = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    if message is None:
        return given
    session, recipients = message.session, "\n".join(message.recipients)
    if len(recipients.encode()) > RECIPIENTS:
        recipients = recipients.encode()[:RECIPIENTS].decode("utf-8", "ignore").rpartition("\n")[0]
    told = {
        "ID": str(message.id),
        "SIZE": str(message.size),
        "SENDER": message.sender,
        "RECIPIENTS": recipients,
        "RECIPIENT_COUNT": str(len(message.recipients)),
        "PEER": session.peer,
        "HELO": session.helo,
        "LOGIN": session.login,
        "PROTOCOL": session.protocol,
        "TLS": session.tls,
    }
    return given | {f"POSTROAD_{name}": value.replace("\0", "") for name, value in told.items()}


def arguments(command: Sequence[str], message: Message) -> Iterator[str]:
    """The command with its placeholders filled in; ``{recipients}`` as an argument becomes one for each."""
    values = {
        "id": (str(message.id),),
        "sender": (message.sender,),
        "recipients": message.recipients,
        "peer": (message.session.peer,),
        "login": (message.session.login,),
    }
    for argument in command:
        found = _PLACEHOLDER.search(argument)
        if found is None or found[1] not in values:
            yield argument
            continue
        before, after = argument[: found.start()], argument[found.end() :]
        for value in values[found[1]]:
            yield f"{before}{value if before else _no_option(value)}{after}".replace("\0", "")


def misplaced(command: Sequence[str]) -> Iterator[str]:
    """What is wrong with the placeholders of a command."""
    for argument in command:
        names = _PLACEHOLDER.findall(argument)
        yield from (f"{{{name}}} in the command is none of {', '.join(PLACEHOLDERS)}"
                    for name in names if name not in PLACEHOLDERS)  # fmt: skip
        if len(names) > 1:
            yield f"{argument!r} has more than one placeholder"


def _no_option(value: str) -> str:
    """The same address, so that no program takes it for an option (RFC 5321 4.1.2: a local part may be quoted)."""
    if not value.startswith("-"):
        return value
    local, at, domain = value.rpartition("@") if "@" in value else (value, "", "")
    return f'"{local}"{at}{domain}'


def with_bare_newlines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same with lines that end in LF alone, as commands of Unix write and some expect."""
    held = b""
    for chunk in chunks:
        octets = held + chunk
        held = b"\r" if octets.endswith(b"\r") else b""
        yield octets.removesuffix(held).replace(b"\r\n", b"\n")
    yield held


def line(message: Message) -> bytes:
    """The line that stands before the content of a message, for programs that judge one after the other."""
    session = message.session
    told = {
        "id": str(message.id),
        "size": message.size,
        "sender": message.sender,
        "recipients": message.recipients,
        "peer": session.peer,
        "helo": session.helo,
        "login": session.login,
        "protocol": session.protocol,
        "tls": session.tls,
        "facts": dict(message.envelope.facts),
    }
    return _ENCODER.encode(told) + b"\n"
