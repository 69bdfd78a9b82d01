"""How commands decide about parked mail: by the owner of its shard, in the running server."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import click

from engine.cli.workers import ask
from engine.lanes import MAIL
from engine.links.request import Unanswered
from engine.message import MessageId
from engine.observe.visible import visible
from engine.runtime.services import QUEUE_SERVICE
from engine.runtime.state import Running

Decision: TypeAlias = Literal["release", "delete"]

_DONE: dict[Decision, str] = {"release": "Released", "delete": "Deleted"}


def decided(server: Running, decision: Decision, shard: int, identity: MessageId, to: Sequence[str] = ()) -> bool:
    """Whether it was done: for all recipients, or those in ``to``. What came of it is printed."""
    try:
        said: str = ask(server, f"{MAIL}-{shard}", QUEUE_SERVICE, decision, bytes(identity), *to)
    except Unanswered as error:
        said = str(error)
    click.echo(visible(f"{identity}: {said}" if said else f"{_DONE[decision]} {identity}."), err=bool(said))
    return not said
