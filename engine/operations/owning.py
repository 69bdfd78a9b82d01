"""How mailboxes are changed: by the running server, or, when none runs, as their owner."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import TypeVar

import trio
import zmq

from engine.config import Config
from engine.exchange.store import Store
from engine.links.request import Asker, Unanswered
from engine.mailbox import Mailboxes, MailboxOwner
from engine.mailbox.commands import Answer, AnyCommand, packed, unpack_answer
from engine.runtime.places import MAILBOXES, between
from engine.runtime.services import CHANGE, REMOVE
from engine.runtime.state import Running, State

LOOK = 1.0
"""Seconds between two looks at whether the owner still runs: the socket to it does not tell."""

T = TypeVar("T")
Work = Callable[[Store], Awaitable[T]]


async def done(config: Config, work: Work[T]) -> T:
    """Do the work: beside the running server, or as the owner of the mailboxes, when none runs. What the work raises;
    Unanswered, StorageError.
    """
    path = config.server.data / "mailbox"
    state = State(config.server.data)
    running = state.running()
    if running is not None:
        with closing(Mailboxes.open(path, map_size=config.mailboxes.map_size)) as mailboxes:
            return await _through(state, running, lambda change: work(Store(mailboxes, path, change)))
    settings = config.mailboxes
    state.take()  # no server starts meanwhile
    try:
        with MailboxOwner(path, map_size=settings.map_size, keep_expunged=settings.keep_expunged) as owner:
            return await work(Store(owner.reader, path, owner.change))
    finally:
        state.release()


async def _through(
    state: State, running: Running, work: Callable[[Callable[[AnyCommand], Awaitable[Answer]]], Awaitable[T]]
) -> T:
    """Do the work while the server does what is asked. Unanswered when it ends before the work does."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    life = running.lives.get(MAILBOXES, 0)
    asker = Asker(context)
    done: list[T] = []
    failed: Exception | None = None

    async def change(command: AnyCommand) -> Answer:
        return unpack_answer(await asker.ask(CHANGE, packed(command)))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asker.serve, between(running.folder, MAILBOXES, life, REMOVE))
            nursery.start_soon(_watch, state, life, nursery.cancel_scope)
            try:
                done.append(await work(change))
            except Exception as error:  # raised below: here it would come out inside a group
                failed = error
            nursery.cancel_scope.cancel()
    finally:
        context.destroy(linger=0)
    if failed is not None:
        raise failed
    if not done:
        raise Unanswered("the server has ended; do it again")
    return done[0]


async def _watch(state: State, life: int, scope: trio.CancelScope) -> None:
    while (now := state.running()) is not None and now.lives.get(MAILBOXES, 0) == life:
        await trio.sleep(LOOK)
    scope.cancel()
