"""`postroad reload`: tell the running server to read pipeline.toml again, and say how that went."""

import os
import signal
import time

import click

from engine.cli.configured import config_option, configuration, fail
from engine.cli.preview import with_preview
from engine.runtime.state import State


@click.command("reload")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds to wait for the server's answer.")
@with_preview
@config_option
@click.pass_context
def reload(ctx: click.Context, timeout: float) -> None:
    """Put an edited configuration in force. A wrong one changes nothing. Exit code 0: done; 1: refused; 2: mistakes."""
    config = configuration(ctx)
    state = State(config.server.data)
    before = state.running()
    if before is None:
        fail(f"no server runs on {config.server.data}")
    os.kill(before.pid, signal.SIGHUP)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        now = state.running()
        if now is None:
            fail("the server has stopped")
        if now.change != before.change:
            if now.error:
                fail(f"the server goes on as before: {now.error}")
            click.echo(f"revision {now.revision} is in force")
            return
        time.sleep(0.02)
    fail(f"no answer from the server within {timeout:g} s; see its log")
