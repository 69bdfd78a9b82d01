"""Requests, read strictly: a field that nobody knows, a value twice, a number that is none are mistakes, and said."""

import re
import typing
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from engine.web.api.problems import Mistake, Problem

T = TypeVar("T")

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
_FLAGS = {"true": True, "false": False}
_PLACE = re.compile(r"(.*?)(?: - at `\$\.?(.*?)`)?", re.DOTALL)

FIELDS = 100
"""Fields of a query that are read."""


def path_of(kind: type[T], values: Mapping[str, str]) -> T:
    """The names in a path. Problem: what cannot be such a name is not there."""
    try:
        return msgspec.convert(_typed(kind, {name: [value] for name, value in values.items()}), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise Problem(404, _text(error)) from error


def query_of(kind: type[T] | None, octets: bytes) -> T | None:
    """The fields of a query. Problem."""
    given: dict[str, list[str]] = {}
    try:
        pairs = urllib.parse.parse_qsl(
            octets.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=FIELDS
        )
    except ValueError as error:
        raise Problem(400, "the query cannot be read", (Mistake("query", str(error)),)) from error
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    if kind is None:
        if given:
            raise _wrong("query", f"there is no field {next(iter(given))!r}: this takes none")
        return None
    try:
        return msgspec.convert(_typed(kind, given), kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise _wrong("query", _text(error), _field(error)) from error


def body_of(kind: type[T] | None, octets: bytes, media: str) -> T | None:
    """The content of a request, as JSON. Problem."""
    if kind is None:
        if octets:
            raise Problem(400, "this takes no content", (Mistake("body", "there is some"),))
        return None
    if media.partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "write Content-Type: application/json")
    try:
        return msgspec.json.decode(octets, type=kind)
    except msgspec.ValidationError as error:
        raise _wrong("body", _text(error), _field(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "the content is no JSON", (Mistake("body", _text(error)),)) from error


def _typed(kind: type[Any], given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Texts as values of the kinds that the fields have. ValueError."""
    kinds = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    found: dict[str, Any] = {}
    for name, texts in given.items():
        if name not in kinds:
            raise ValueError(f"Object contains unknown field `{name}`")
        found[name] = _value(name, kinds[name], texts)
    return found


def _value(name: str, kind: Any, texts: Sequence[str]) -> Any:
    inner = _plain(kind)
    if typing.get_origin(inner) in (list, tuple):
        return list(texts)
    if len(texts) > 1:
        raise ValueError(f"it is there {len(texts)} times - at `$.{name}`")
    text = texts[0]
    if inner is bool and text in _FLAGS:
        return _FLAGS[text]
    if inner is int and _NUMBER.fullmatch(text):
        return int(text)
    return text


def _plain(kind: Any) -> Any:
    """Without limits and None."""
    while typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    others = [one for one in typing.get_args(kind) if one is not type(None)]
    is_optional = type(None) in typing.get_args(kind)
    return _plain(others[0]) if is_optional and len(others) == 1 else kind


def _wrong(where: str, text: str, field: str = "") -> Problem:
    return Problem(422, text, (Mistake(f"{where}.{field}" if field else where, text),))


def _text(error: BaseException) -> str:
    found = _PLACE.fullmatch(str(error))
    text = found[1] if found else str(error)
    return text.replace("`", "'")


def _field(error: BaseException) -> str:
    found = _PLACE.fullmatch(str(error))
    return (found[2] or "") if found else ""
