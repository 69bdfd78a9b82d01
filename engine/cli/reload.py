"""`postroad reload`: tell the running server to read pipeline.toml again, and say how that went."""

from pathlib import Path

import click

from engine.cli.configured import config_option, configuration, data_of, fail
from engine.cli.preview import with_preview
from engine.config import Config
from engine.operations.operator import user
from engine.revisions import Archive, changes, in_a_line
from engine.runtime.ordering import Disobeyed, ordered
from engine.runtime.state import Order, Running


@click.command("reload")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the server's answer.")
@click.option("--canary", type=click.FloatRange(0, 100), metavar="PERCENT", help="Try it on so much of the mail first.")
@click.option("--promote", "what", flag_value="promote", help="Put what is on trial in force for all mail.")
@click.option("--abort", "what", flag_value="abort", help="End the trial; all goes on as before it.")
@with_preview
@config_option
@click.pass_context
def reload(ctx: click.Context, timeout: float, canary: float | None, what: str | None) -> None:
    """Put an edited configuration in force. A wrong one changes nothing. Exit code 0: done; 1: refused; 2: mistakes.

    With --canary it runs beside the one in force, and gets that share of the connections by which mail comes in;
    `postroad revision trial` shows what comes of both. [server] canary says the same for every reload; --canary 0 then
    puts it in force at once.
    """
    if what is not None and canary is not None:
        raise click.UsageError(f"--canary begins a trial, --{what} ends one")
    order = Order(user(), what or "reload", canary)  # type: ignore[arg-type]
    data = configuration(ctx).server.data if what is None else data_of(ctx.obj)
    now = obeyed(data, order, timeout)
    if now.error:
        fail(f"the server goes on as before: {now.error}")
    if now.trial is not None:
        click.echo(f"revision {now.trial.revision} is on trial, with {now.trial.share:g} % of what comes in")
        if untried := _untried(configuration(ctx), now.revision, now.trial.revision):
            click.echo(f"only --promote brings: {untried}")
    click.echo(f"revision {now.revision} is in force")


def _untried(config: Config, old: int, new: int) -> str:
    """What whole processes act on, and no share of the mail can have, in words; "" when nothing of that has changed."""
    archive = Archive(config.server.data)
    before, after = archive.get(old), archive.get(new)
    if before is None or after is None:
        return ""
    of_stages = {table for stage in config.stages.values() for table in stage.spec.tables}
    found = [one for one in changes(before, after) if one.what in ("table", "listener") and one.name not in of_stages]
    return in_a_line(found) if found else ""


def obeyed(data: Path, order: Order, timeout: float) -> Running:
    """What the running server says to the order; without an answer our command ends."""
    try:
        return ordered(data, order, timeout)
    except Disobeyed as error:
        fail(str(error))
