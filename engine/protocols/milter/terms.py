"""Option negotiation: what a milter may change, which steps it wants to see, and to which of them it will answer."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntFlag

from engine.protocols.milter.wire import OLDEST_VERSION, VERSION, MilterError, packet


class Step(Enum):
    """What we tell a milter, by the code of its command."""

    NEGOTIATE = b"O"
    CONNECT = b"C"
    HELO = b"H"
    MAIL = b"M"
    RCPT = b"R"
    DATA = b"T"
    HEADER = b"L"
    EOH = b"N"
    BODY = b"B"
    END = b"E"

    # Every answer is looked up by its step, and the hash of `Enum` is a function in Python.
    __hash__ = object.__hash__


class Action(IntFlag):
    """What a milter may do to a message (SMFIF_…)."""

    ADD_HEADERS = 0x01
    CHANGE_BODY = 0x02
    ADD_RECIPIENTS = 0x04
    DELETE_RECIPIENTS = 0x08
    CHANGE_HEADERS = 0x10
    QUARANTINE = 0x20
    CHANGE_SENDER = 0x40
    ADD_RECIPIENTS_WITH_PARAMETERS = 0x80
    SET_SYMBOL_LISTS = 0x100


class Option(IntFlag):
    """Steps that a milter does not want, or does not answer, and more (SMFIP_…)."""

    NO_CONNECT = 0x01
    NO_HELO = 0x02
    NO_MAIL = 0x04
    NO_RCPT = 0x08
    NO_BODY = 0x10
    NO_HEADERS = 0x20
    NO_EOH = 0x40
    SILENT_HEADERS = 0x80
    NO_UNKNOWN = 0x100
    NO_DATA = 0x200
    SKIP = 0x400
    SILENT_CONNECT = 0x1000
    SILENT_HELO = 0x2000
    SILENT_MAIL = 0x4000
    SILENT_RCPT = 0x8000
    SILENT_DATA = 0x10000
    SILENT_UNKNOWN = 0x20000
    SILENT_EOH = 0x40000
    SILENT_BODY = 0x80000
    LEADING_SPACE = 0x100000


ALL_ACTIONS = Action(0x1FF)
ALL_OPTIONS = Option(0x1FF7FF)
"""All but SMFIP_RCPT_REJ: recipients that we have refused ourselves are not in the message."""

_UNWANTED = {
    Step.CONNECT: Option.NO_CONNECT,
    Step.HELO: Option.NO_HELO,
    Step.MAIL: Option.NO_MAIL,
    Step.RCPT: Option.NO_RCPT,
    Step.DATA: Option.NO_DATA,
    Step.HEADER: Option.NO_HEADERS,
    Step.EOH: Option.NO_EOH,
    Step.BODY: Option.NO_BODY,
}
_SILENT = {
    Step.CONNECT: Option.SILENT_CONNECT,
    Step.HELO: Option.SILENT_HELO,
    Step.MAIL: Option.SILENT_MAIL,
    Step.RCPT: Option.SILENT_RCPT,
    Step.DATA: Option.SILENT_DATA,
    Step.HEADER: Option.SILENT_HEADERS,
    Step.EOH: Option.SILENT_EOH,
    Step.BODY: Option.SILENT_BODY,
}
_MACRO_STAGES = (Step.CONNECT, Step.HELO, Step.MAIL, Step.RCPT, Step.DATA, Step.END, Step.EOH)
"""In the order of their numbers (SMFIM_…)."""

DATA_SINCE = 4
"""The version that brought SMFIC_DATA: older milters close the connection on it."""

_WORDS = struct.Struct("!III")


@dataclass(frozen=True, slots=True)
class Terms:
    """What has been negotiated. ``symbols`` has the names of macros by step, where the milter has chosen them."""

    version: int
    actions: Action
    unwanted: frozenset[Step]
    silent: frozenset[Step]
    skip: bool
    leading_space: bool
    symbols: Mapping[Step, tuple[str, ...]]


def offer() -> bytes:
    """The packet that begins a connection."""
    return packet(Step.NEGOTIATE.value, _WORDS.pack(VERSION, ALL_ACTIONS, ALL_OPTIONS))


def negotiated(data: bytes) -> Terms:
    """What the milter's answer to the offer comes to. MilterError when it asks for what was not offered."""
    if len(data) < _WORDS.size:
        raise MilterError("its terms are too short")
    version, actions, options = _WORDS.unpack_from(data)
    if not OLDEST_VERSION <= version <= VERSION:
        raise MilterError(f"it speaks version {version} of the protocol, we {OLDEST_VERSION} to {VERSION}")
    for what, wanted, offered in (("actions", actions, ALL_ACTIONS), ("options", options, ALL_OPTIONS)):
        if strange := wanted & ~int(offered):
            raise MilterError(f"it wants {what} that were not offered: {strange:#x}")
    return Terms(
        version=version,
        actions=Action(actions),
        unwanted=frozenset(step for step, option in _UNWANTED.items() if options & option),
        silent=frozenset(step for step, option in _SILENT.items() if options & option),
        skip=bool(options & Option.SKIP),
        leading_space=bool(options & Option.LEADING_SPACE),
        symbols=_symbol_lists(data[_WORDS.size :]),
    )


def _symbol_lists(data: bytes) -> dict[Step, tuple[str, ...]]:
    """Each a stage's number, and names with blanks between them, ended by NUL (SMFIF_SETSYMLIST)."""
    lists: dict[Step, tuple[str, ...]] = {}
    while data:
        names, end, rest = data[4:].partition(b"\0")
        stage = int.from_bytes(data[:4], "big")
        if not end or stage >= len(_MACRO_STAGES):
            raise MilterError("a list of macros that makes no sense")
        lists[_MACRO_STAGES[stage]] = tuple(names.decode("ascii", "replace").replace(",", " ").split())
        data = rest
    return lists
