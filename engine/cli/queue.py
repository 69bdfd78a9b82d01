"""`postroad queue`: what waits, what is held or parked, and what becomes of that."""

import click

from engine.cli.by_name import ByName

_PLACES = {
    "bounce": "queue_orders:bounce",
    "delete": "queue_orders:delete",
    "expire": "queue_orders:expire",
    "hold": "queue_orders:hold",
    "list": "queue_looking:list_",
    "release": "queue_orders:release",
    "reroute": "queue_orders:reroute",
    "restore": "queue_keeping:restore",
    "retry": "queue_orders:retry",
    "show": "queue_showing:show",
    "snapshot": "queue_keeping:snapshot",
    "top": "queue_looking:top",
    "verify": "queue_keeping:verify",
}


@click.group(cls=ByName, places=_PLACES)
def queue() -> None:
    """The queue: what waits for its next attempt, what is held, and what is parked.

    Messages are named by their ids, or by a condition such as 'domain == "example.net" and age > 2h'. It may say
    something of sender, recipient, domain, sender.domain, site, size, age, attempts, reply, lane, state, line, tenant,
    priority, session.peer and of facts such as scan.score; "like" takes * for anything.
    """
