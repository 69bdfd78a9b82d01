"""Values of TOML as the types that a setting is annotated with."""

import abc
import ipaddress
import re
import typing
from pathlib import Path
from typing import Any

import msgspec

from engine.config.errors import nearest
from engine.units import Duration, Rate, Size


def convert(value: object, kind: Any) -> Any:
    """``value`` from TOML as the annotated type ``kind``. ValueError with a text for people."""
    if typing.get_origin(kind) is typing.Literal and value not in typing.get_args(kind):
        raise ValueError(f"{value!r} is none of its values{nearest(str(value), map(str, typing.get_args(kind)))}")
    try:
        return msgspec.convert(value, _convertible(kind), strict=True, dec_hook=_decode)
    except msgspec.ValidationError as error:
        text = str(error)
        place = re.search(r" - at `\$(.*)`$", text)
        if place:
            text = text[: place.start()] + (f" at {place[1].strip('.')}" if place[1] else "")
        text = text.replace("Expected `array`", 'Expected a list, like ["…"]')
        text = text.replace("Invalid RFC3339 encoded time", "no time of day; write it like 18:00:00")
        raise ValueError(text) from error


class _Network(abc.ABC):  # noqa: B024 - nobody makes one
    """Stands for "an IPv4 or an IPv6 network" where msgspec wants one type."""


_Network.register(ipaddress.IPv4Network)
_Network.register(ipaddress.IPv6Network)


def _convertible(kind: Any) -> Any:
    arguments = typing.get_args(kind)
    if set(arguments) == {ipaddress.IPv4Network, ipaddress.IPv6Network}:
        return _Network
    if typing.get_origin(kind) is tuple:
        return tuple[tuple(_convertible(argument) for argument in arguments)]  # type: ignore[misc]
    return kind


def _decode(kind: type, value: Any) -> Any:
    if kind in (Size, Duration):
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"Expected a {'size' if kind is Size else 'duration'}, got {value!r}")
        return kind(value)
    if kind is Rate:
        return Rate(text_of(value))
    if isinstance(kind, type) and issubclass(kind, Path):
        return Path(text_of(value))
    if kind is _Network:
        return ipaddress.ip_network(text_of(value))
    raise NotImplementedError(f"a setting cannot have the type {kind}")


def text_of(value: Any) -> str:
    """``value``, which must be a text. ValueError."""
    if not isinstance(value, str):
        raise ValueError(f"Expected `str`, got {value!r}")
    return value
