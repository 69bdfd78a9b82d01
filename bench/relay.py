"""How many messages a second go through Postroad to the next server, beside the ceiling of this machine."""

import click
import trio
from load import DOMAIN, HOST, Failed, Run, Settings, compare, options, sink, through

from engine.net.zone import Zone, serve_zone

TITLE = "Relay: smtp-source → Postroad → smtp-sink, until the last message has arrived"


async def relay(settings: Settings, count: int) -> Run:
    """Until every message has been accepted, stored, resolved, and taken by smtp-sink."""
    zone = Zone(DOMAIN, {"@": {"MX": "10 mx"}, "mx": {"A": HOST}})
    async with trio.open_nursery() as nursery, sink() as (port, arrived):
        changes = {
            "dns.servers": [await nursery.start(serve_zone, zone)],
            "stage.resolve.port": port,
            "stage.relay.allow_networks": [f"{HOST}/32"],
        }
        run = await through(settings, changes, count, arrived)
        nursery.cancel_scope.cancel()
    if run.left:
        raise Failed(f"{count} messages were handed on, and {run.left} of them are still in the queue")
    return run


@click.command()
@options
def main(settings: Settings) -> None:
    """Measure how fast mail is taken in, made durable, and handed on."""
    trio.run(compare, TITLE, relay, settings)


if __name__ == "__main__":
    main()
