"""Logging in to the next server, where it is one that knows us."""

from collections.abc import Awaitable, Callable, Mapping

import trio

from engine.outbound.way import Login
from engine.protocols.sasl_client import LoginError, begin
from engine.protocols.smtp_client import Challenged, Event, LoggedIn, SmtpClient


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
    client.authenticate(mechanism, exchange.initial())
    while isinstance(event := await answer(), Challenged):
        try:
            client.respond(await trio.to_thread.run_sync(exchange.answer, event.challenge))
        except LoginError:
            client.respond(None)
            await answer()
            raise
    if isinstance(event, LoggedIn) and not exchange.is_proven:
        raise LoginError("it takes our login without a proof that it knows us")
    return event
