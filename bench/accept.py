"""How many messages a second Postroad takes into its queue, beside the ceiling of this machine."""

import click
import trio
from load import Failed, Run, Settings, compare, options, through

TITLE = "Accept: smtp-source → the queue of Postroad, where the messages stay"


async def accept(settings: Settings, count: int) -> Run:
    """Until every message is queued."""
    run = await through(settings, {"queue.in_flight": 0}, count)
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
