"""Bulk mail says how to leave by one click (RFC 2369, RFC 8058), is given it, or is refused. A pure stage."""

import re
import time
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from engine import Each, Message, Reject, Verdict
from engine.config import secrets_in
from engine.directory import a_label, split
from engine.unsubscribe import ONE_CLICK, Link, Offer, offer
from engine.unsubscribe.links import sign

FACT = "bulk.unsubscribe"
"""The fact that says what the message offered when it came: "one-click", "link", "mail", "none"."""

LACKS = {
    "none": Reject("Bulk mail needs a List-Unsubscribe field (RFC 2369)", code="5.7.1"),
    "mail": Reject("Bulk mail needs a link of https in List-Unsubscribe (RFC 8058)", code="5.7.1"),
    "link": Reject("Bulk mail needs List-Unsubscribe-Post: List-Unsubscribe=One-Click (RFC 8058)", code="5.7.1"),
    "unsigned": Reject("The DKIM signature must cover List-Unsubscribe and List-Unsubscribe-Post (RFC 8058)", "5.7.1"),
}
_LIST_ID = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")


@dataclass
class BulkMail:
    """What is bulk: mail to ``recipients`` at once, and all of ``senders``, of ``tenants`` and of lists (List-Id).

    ``do`` is "note", "refuse" or "add": a link of ours, for each recipient another one, so that stands in the lane by
    which mail leaves, before `sign`. Mail whose signature covers the fields is left as it is.
    """

    leaves: ClassVar = (FACT,)

    _: KW_ONLY
    do: Literal["note", "refuse", "add"] = "note"
    recipients: int = 50
    senders: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    url: str = ""  # of the page that links lead to
    secret_file: Path | None = None
    mailto: str = ""  # an address that can be written to instead
    list_id: str = ""  # for mail that has none
    signed: bool = False  # whether a signature that comes with the message must cover the fields
    _secrets: tuple[bytes, ...] = field(init=False, repr=False, default=())
    _names: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._names = frozenset("@".join(split(text) or (a_label(text.removeprefix("@")),)) for text in self.senders)
        if self.secret_file is not None:
            self._secrets = secrets_in(self.secret_file)

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings."""
        url, secret_file, list_id = (settings.get(name) or "" for name in ("url", "secret_file", "list_id"))
        if settings.get("recipients", 1) < 1:
            yield "recipients must be at least 1"
        if settings.get("do") == "add" and not (url and secret_file):
            yield 'do = "add" needs url and secret_file: of what the links are made'
        if url and not re.fullmatch(r"https://[^\s/?#@<>\"]+[^\s?#<>\"]*", url):
            yield f'{url!r} is no page under https; write it like "https://mail.example.org/unsubscribe"'
        if list_id and not _LIST_ID.fullmatch(list_id):
            yield f'{list_id!r} is no name of a list; write it like "news.example.org" (RFC 2919)'
        if (mailto := settings.get("mailto", "")) and not re.fullmatch(r"[^\s@<>,?&%]+@[^\s@<>,?&%]+", mailto):
            yield f"{mailto!r} is no address"
        if secret_file:
            yield from _secret_troubles(Path(secret_file))

    async def __call__(self, message: Message) -> Verdict:
        if not self._is_bulk(message):
            return message
        offered = _offered(message)
        lacks = _lacks(offered) or ("unsigned" if self.signed and not offered.covered else "")
        message = message.with_fact(FACT, lacks or "one-click")
        if self.do == "refuse" and lacks:
            return LACKS[lacks]
        if self.do == "add" and lacks and not offered.sealed:
            return self._added(message, offered)
        return message

    def _is_bulk(self, message: Message) -> bool:
        name = split(message.sender)
        return (
            len(message.recipients) >= self.recipients
            or (name is not None and ("@".join(name) in self._names or name[1] in self._names))
            or (bool(self.tenants) and message.fact("tenant.name") in self.tenants)
            or message.header("List-Id") is not None
        )

    def _added(self, message: Message, offered: Offer) -> Verdict:
        """For each recipient with a link of its own."""
        named = message.header("List-Id")
        if named is None and self.list_id:
            message = message.with_header("List-Id", f"<{self.list_id}>")
        for name in ("List-Unsubscribe", "List-Unsubscribe-Post"):
            message = message.without_fields(name, lambda _: True)
        link = partial(self._with_link, message, offered, _name_in(named) or self.list_id)
        own = {address: link(address) for address in message.recipients}
        return next(iter(own.values())) if len(own) == 1 else Each(own)

    def _with_link(self, message: Message, offered: Offer, name: str, address: str) -> Message:
        token = sign(Link(address, name, int(message.envelope.arrived or time.time())), self._secrets)
        ways = [f"{self.url.rstrip('/')}/{token}"]
        ways += [f"mailto:{self.mailto}?subject=unsubscribe"] if self.mailto else offered.by_mail
        value = ",\r\n ".join(f"<{way}>" for way in ways)
        return message.with_header("List-Unsubscribe-Post", ONE_CLICK).with_field(
            f"List-Unsubscribe: {value}\r\n".encode()
        )


def _secret_troubles(path: Path) -> Iterator[str]:
    try:
        if not secrets_in(path):
            yield f"there is no secret in {path}; write one a line"
    except OSError as error:
        yield f"cannot read {path}: {error.strerror}"


def _offered(message: Message) -> Offer:
    return offer(
        message.headers("List-Unsubscribe"),
        message.headers("List-Unsubscribe-Post"),
        message.headers("DKIM-Signature"),
    )


def _lacks(offered: Offer) -> str:
    """What of it is all there is; empty where one click is enough."""
    if offered.one_click:
        return ""
    return "link" if offered.https else "mail" if offered.uris else "none"


def _name_in(value: str | None) -> str:
    """The name of the list in List-Id, in angle brackets behind words (RFC 2919 3)."""
    found = re.search(r"<([^<>\s]{1,255})>", value or "")
    return found[1].lower() if found else ""
