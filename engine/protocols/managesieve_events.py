"""What a ManageSieve session says to its driver (RFC 5804)."""

import enum
from dataclasses import dataclass
from typing import TypeAlias

from engine.protocols.asking import Closed, Login, StartTls


class State(enum.Enum):
    NON_AUTHENTICATED = "before the login"
    AUTHENTICATED = "after the login"
    CLOSED = "closed"


class Signal(enum.Enum):
    """What the driver must do before there can be a next event."""

    NEED_DATA = "send what is outgoing, then receive more"


class Code(enum.Enum):
    """Why a command fails, in a way that a program understands (RFC 5804 1.3)."""

    ACTIVE = "ACTIVE"
    NONEXISTENT = "NONEXISTENT"
    ALREADYEXISTS = "ALREADYEXISTS"
    QUOTA = "QUOTA"
    MAXSIZE = "QUOTA/MAXSIZE"
    MAXSCRIPTS = "QUOTA/MAXSCRIPTS"
    TRYLATER = "TRYLATER"
    TOO_WEAK = "AUTH-TOO-WEAK"
    ENCRYPT_NEEDED = "ENCRYPT-NEEDED"


@dataclass(frozen=True, slots=True)
class HaveSpace:
    """Answer with ``done`` or ``failed``."""

    name: str
    size: int  # octets


@dataclass(frozen=True, slots=True)
class PutScript:
    """Check and keep it; answer with ``done``, whose text may hold warnings, or with ``failed``."""

    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class CheckScript:
    """Answer with ``done`` or ``failed``."""

    content: bytes


@dataclass(frozen=True, slots=True)
class ListScripts:
    """Answer with ``listed`` or ``failed``."""


@dataclass(frozen=True, slots=True)
class SetActive:
    """An empty name: none is to be active. Answer with ``done`` or ``failed``."""

    name: str


@dataclass(frozen=True, slots=True)
class GetScript:
    """Answer with ``script`` or ``failed``."""

    name: str


@dataclass(frozen=True, slots=True)
class DeleteScript:
    """Answer with ``done``, or ``failed``: the active script is not deleted (``Code.ACTIVE``)."""

    name: str


@dataclass(frozen=True, slots=True)
class RenameScript:
    """Answer with ``done`` or ``failed``."""

    name: str
    new: str


@dataclass(frozen=True, slots=True)
class Unauthenticate:
    """The session is as before the login. Answer with ``done``."""


Event: TypeAlias = (
    Login
    | StartTls
    | HaveSpace
    | PutScript
    | CheckScript
    | ListScripts
    | SetActive
    | GetScript
    | DeleteScript
    | RenameScript
    | Unauthenticate
    | Closed
)
