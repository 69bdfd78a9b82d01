"""Posting what waits for a webhook: signed, again and again until it is taken, and nothing else waits for that."""

import hashlib
import hmac
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

import trio

from engine.config import NOWHERE, Webhook, secrets_in
from engine.message import Octets
from engine.net.tls import client_context
from engine.observe.events import event
from engine.scanning.guard import Unreachable
from engine.scanning.http import HttpServer
from engine.scanning.where import Where
from engine.storage.environment import StorageError
from engine.webhooks.outbox import Outbox, Waiting

SIGNATURE = "Postroad-Signature"
DELIVERY = "Postroad-Delivery"

LOOK = 0.5
"""Seconds between two looks for something new, while nothing waits."""

JITTER = 0.1
"""Share by which a pause is moved at random."""

ANSWER = 64 * 1024
"""Octets of an answer: nobody reads it."""


def signature(secrets: Sequence[bytes], now: int, body: bytes) -> str:
    """The value of the field: a time, and for each secret an HMAC-SHA-256 over that time, a dot, and the body."""
    signed = b"%d.%b" % (now, body)
    macs = [hmac.new(secret, signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={now}", *(f"v1={mac}" for mac in macs)])


def body_of(some: Sequence[Waiting]) -> bytes:
    """What is posted: `{"events": […]}`."""
    return b'{"events":[%b]}' % b",".join(one.json for one in some)


class Refused(Exception):
    """The server did not take it; the text says how it answered."""


class Poster:
    """Posts for one webhook. One in the whole server: what waits is read and removed by nobody else."""

    def __init__(self, webhook: Webhook, outbox: Outbox, clock: Callable[[], float] = time.time) -> None:
        """OSError for files that cannot be read."""
        self.webhook = webhook
        self._outbox = outbox
        self._clock = clock
        self._secrets: tuple[bytes, ...] = ()
        host, port, under_tls, target = webhook.place
        where = Where(host=host, port=port, context=_context(webhook) if under_tls else None)
        self._host = f"[{host}]" if ":" in host else host
        self._server = HttpServer(where, target, ANSWER)
        self._failed = 0  # times, one after the other

    async def run(self) -> NoReturn:
        try:
            while True:
                await trio.sleep(await self._step())
        finally:
            self._server.close()

    async def _step(self) -> float:
        """Post once, if something waits. Seconds until there may be more to do."""
        try:
            some = await trio.to_thread.run_sync(self._next)
            return await self._posted(some) if some else LOOK
        except (StorageError, OSError) as error:
            event("webhook-failed", webhook=self.webhook.name, error=str(error))
            return self.webhook.retry[-1]

    def _next(self) -> list[Waiting]:
        """What is to be posted next. The secrets are read again each time, for they may be changed."""
        some = self._outbox.first(self.webhook.name, self.webhook.batch)
        if some:
            self._secrets = secrets_in(self.webhook.secret_file)
        return some

    async def _posted(self, some: Sequence[Waiting]) -> float:
        """Post these. Seconds until the next try. StorageError."""
        try:
            await self._post(some)
        except (Refused, Unreachable) as error:
            return await self._again(some, str(error))
        if self._failed:
            event("webhook-answers", webhook=self.webhook.name, after=self._failed)
        self._failed = 0
        await trio.to_thread.run_sync(self._outbox.remove, self.webhook.name, [one.key for one in some])
        return 0.0

    async def _post(self, some: Sequence[Waiting]) -> None:
        body = body_of(some)
        fields = {
            "Host": self._host,
            "Content-Type": "application/json",
            "User-Agent": "Postroad",
            DELIVERY: hashlib.blake2b(some[0].key + some[-1].key, digest_size=16).hexdigest(),
            SIGNATURE: signature(self._secrets, int(self._clock()), body),
        }
        try:
            with trio.fail_after(self.webhook.timeout):
                response = await self._server.post(fields.items(), Octets(body))
        except trio.TooSlowError:
            raise Refused(f"no answer within {self.webhook.timeout:g} s") from None
        if not 200 <= response.status < 300:
            raise Refused(f"it answered {response.status}")

    async def _again(self, some: Sequence[Waiting], why: str) -> float:
        """Drop what has waited for too long. Seconds until the next try."""
        webhook = self.webhook
        pause = webhook.retry[min(self._failed, len(webhook.retry) - 1)] * random.uniform(1 - JITTER, 1 + JITTER)
        self._failed += 1
        old = [one.key for one in some if one.since + webhook.keep < self._clock()]
        if old:
            await trio.to_thread.run_sync(lambda: self._outbox.remove(webhook.name, old, dropped=True))
        if self._failed == 1 or old:
            event("webhook-failed", webhook=webhook.name, error=why, again=round(pause, 1), dropped=len(old) or None)
        return pause


def _context(webhook: Webhook) -> ssl.SSLContext:
    context = client_context(verify=True)
    if webhook.trust != NOWHERE:
        context.load_verify_locations(webhook.trust)
    return context


class Posters:
    """All webhooks of the configuration in force, each with a task of its own."""

    def __init__(self, webhooks: Callable[[], Sequence[Webhook]], outbox: Callable[[], Outbox]) -> None:
        self._webhooks = webhooks
        self._outbox = outbox

    async def run(self) -> NoReturn:
        """Begin and end posters as the configuration changes."""
        running: dict[str, tuple[Webhook, trio.CancelScope]] = {}
        async with trio.open_nursery() as nursery:
            while True:
                wanted = {one.name: one for one in self._webhooks()}
                _end_others(running, wanted)
                for name, webhook in wanted.items():
                    if name not in running:
                        running[name] = webhook, await nursery.start(self._run, webhook)
                await trio.sleep(LOOK)

    async def _run(
        self, webhook: Webhook, *, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.CancelScope() as scope:
            task_status.started(scope)
            try:
                await Poster(webhook, self._outbox()).run()
            except (OSError, StorageError) as error:  # until the configuration is changed
                event("webhook-failed", webhook=webhook.name, error=str(error))
            except Exception as error:  # one webhook's trouble is not that of others
                event.bug("webhook", error, webhook=webhook.name)


def _end_others(running: dict[str, tuple[Webhook, trio.CancelScope]], wanted: Mapping[str, Webhook]) -> None:
    for name, (webhook, scope) in list(running.items()):
        if wanted.get(name) != webhook:
            scope.cancel()
            del running[name]
