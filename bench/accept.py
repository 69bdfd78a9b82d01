"""How many messages a second Postroad takes into its queue, beside the ceiling of this machine."""

import socket

import click
import trio
from load import HOST, Failed, Run, Settings, compare, options, through

TITLE = "Accept: smtp-source → the queue of Postroad, where the messages stay"


async def accept(settings: Settings, count: int) -> Run:
    """Until every message is queued. None leaves: the one in flight of each shard waits for DNS, which is mute."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((HOST, 0))
        changes = {
            "queue.in_flight": 1,
            "dns.servers": [f"{HOST}:{mute.getsockname()[1]}"],
            "dns.timeout": "1h",
            "stage.resolve.timeout": "1h",
        }
        run = await through(settings, changes, count)
    if run.left != count:
        raise Failed(f"{count} messages were accepted, and {run.left} are in the queue")
    return run


@click.command()
@options
def main(settings: Settings) -> None:
    """Measure how fast mail is taken in and made durable, while none is handed on."""
    trio.run(compare, TITLE, accept, settings)


if __name__ == "__main__":
    main()
