"""Logging in to the next server, where it is one that knows us."""

from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace

import trio

from engine.outbound.way import Login
from engine.protocols.sasl_client import LoginError, begin
from engine.protocols.smtp_client import Challenged, Closing, Event, LoggedIn, LoginRefused, SmtpClient
from engine.protocols.smtp_heard import Reply


async def log_in(
    client: SmtpClient, login: Login, bindings: Mapping[str, bytes], answer: Callable[[], Awaitable[Event]]
) -> Event:
    """Log in by the best mechanism on offer; what the server said at last. LoginError; what ``answer`` raises.

    ``bindings`` are what is known of the TLS (RFC 5056).
    """
    offered = client.extensions.get("AUTH", "").upper().split()
    begun = begin(login.who, offered, bindings, by_certificate=login.by_certificate)
    if begun is None:
        raise LoginError(f"it offers no login that we can: {' '.join(offered) or 'none'}")
    mechanism, exchange = begun
    said = [exchange.initial() or b""]
    client.authenticate(mechanism, exchange.initial())
    while isinstance(event := await answer(), Challenged):
        try:
            said.append(await trio.to_thread.run_sync(exchange.answer, event.challenge))
            client.respond(said[-1])
        except LoginError:
            client.respond(None)
            await answer()
            raise
    if isinstance(event, LoggedIn) and not exchange.is_proven:
        raise LoginError("it takes our login without a proof that it knows us")
    if isinstance(event, LoginRefused | Closing):
        return replace(event, reply=_discreet(event.reply, [login.who.password, *map(_text, filter(None, said))]))
    return event


def _text(octets: bytes) -> str:
    return b64encode(octets).decode()


def _discreet(reply: Reply, secrets: Iterable[str]) -> Reply:
    """The reply without its text, where that repeats what we have said: replies go into logs and reports."""
    text = "".join(reply.text.split())
    if any(secret and "".join(secret.split()) in text for secret in secrets):
        return replace(reply, text="(it repeats our login)")
    return reply
