"""`postroad tap`: messages as they pass a link, and what the stages behind it say of them."""

import json
import re
import signal
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from engine.cli.configured import config_option, configuration, fail
from engine.cli.errors import Refused, Unusable
from engine.observe.visible import on_one_line, visible

if TYPE_CHECKING:
    from engine.runtime.state import State
    from engine.watching.tapped import Order, Tapping, Told

_COLOURS = {"reject": "red", "defer": "yellow", "quarantine": "yellow", "discard": "yellow"}
_SAMPLE = re.compile(r"1/([1-9][0-9]{0,8})")


@click.command()
@click.argument("link", required=False)
@click.option("--when", metavar="CONDITION", default="", help="Only messages for which this holds as they come.")
@click.option("--sample", metavar="1/N", default="1/1", show_default=True, help="One of N, the same ones on all links.")
@click.option("--count", "-n", type=click.IntRange(min=1), help="End after so many.")
@click.option("--headers", is_flag=True, help="With their header fields.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object a line.")
@config_option
@click.pass_context
def tap(
    ctx: click.Context, link: str | None, *, when: str, sample: str, count: int | None, headers: bool, as_json: bool
) -> None:
    """Show messages that pass LINK: from whom and for whom, what was decided and when, what was found out.

    Without LINK, the names of all links are printed: "inbound/route" is the one that leads to the stage route of the
    lane inbound. CONDITION is written as `when` is in pipeline.toml. Content is never shown. Of each worker, at most
    200 messages a second are shown.
    """
    import trio

    from engine.condition import parse_condition
    from engine.config import nearest
    from engine.drawing.pipeline import drawn
    from engine.runtime.state import State
    from engine.watching.tapped import Order

    config = configuration(ctx)
    links = drawn(config).links
    if link is None:
        click.echo("\n".join(links))
        return
    if link not in links:
        raise Refused(f"there is no link {link}{nearest(link, links)}")
    one_of = _SAMPLE.fullmatch(sample)
    if one_of is None:
        raise Unusable(f"write --sample 1/100, not {sample!r}")
    try:
        parse_condition(when or "True")
    except ValueError as error:
        raise Unusable(str(error)) from error
    state = State(config.server.data)
    if state.running() is None:
        fail(f"no server runs on {config.server.data}")
    order = Order(link, when, int(one_of[1]), headers)
    if trouble := trio.run(_show, state, order, count, as_json):
        raise Refused(trouble)


async def _show(state: "State", order: "Order", count: int | None, as_json: bool) -> str:
    """Show what passes, until there was enough; what is wrong, if anything."""
    import trio

    from engine.watching.tapped import Tapping, Told

    hear, told = trio.open_memory_channel[Told](0)
    tapping = Tapping(state, order, hear)
    trouble, shown = "", 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_until_told_to_stop, nursery.cancel_scope)
        await nursery.start(tapping.run)
        if tapping.workers:
            click.echo(f"tapping {order.link} in {', '.join(tapping.workers)}", err=True)
            async for one in told:
                _print(one, order.link, as_json=as_json)
                shown += 1
                if shown == count:
                    break
            else:
                trouble = "the server has stopped"
        else:
            why = "; ".join(tapping.refusals) or "no worker has this link now; was pipeline.toml put in force?"
            trouble = f"{order.link} cannot be tapped: {why}"
        nursery.cancel_scope.cancel()
    told.close()
    if shown or not trouble:
        _sum_up(tapping, shown)
    return trouble


async def _until_told_to_stop(scope: Any) -> None:
    import trio

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def _sum_up(tapping: "Tapping", shown: int) -> None:
    missed = tapping.passed("missed")
    text = f"{shown:,} shown of {tapping.passed('seen'):,} that passed"
    click.echo(f"{text}; {missed:,} were too many at a time" if missed else text, err=True)


def _print(told: "Told", link: str, *, as_json: bool) -> None:
    if as_json:
        line = visible(json.dumps(told.as_data(link), ensure_ascii=False))
    else:
        line = "\n".join(_lines(told, is_coloured=sys.stdout.isatty()))
    click.echo(line)
    sys.stdout.flush()


def _lines(told: "Told", *, is_coloured: bool) -> Iterator[str]:
    passed, answer = told.passed, told.answer
    clock = time.strftime("%H:%M:%S", time.localtime(passed["time"])) + f"{passed['time'] % 1:.3f}"[1:]
    others = passed["recipients"] - 1
    to = (passed["to"] or [""])[0] + (f" +{others}" if others > 0 else "")
    way = f"<{passed['from']}> → {to}"
    verdict = _verdict(told)
    if is_coloured:
        verdict = click.style(on_one_line(verdict), fg=_COLOURS.get(verdict.partition(":")[0], "green"))
    else:
        verdict = on_one_line(verdict)
    took = f"  {answer['ms']:g} ms" if answer else ""
    yield f"{clock}  {passed['id']}  {on_one_line(way)}  {passed['size']:,} octets  {verdict}{took}"
    if answer is None or not told.again:
        header = visible(passed.get("headers", "").replace("\r\n", "\n"))
        yield from (f"    {line}" for line in header.splitlines())
    if answer is not None:
        yield from (f"    {on_one_line(line)}" for line in _details(answer))


def _verdict(told: "Told") -> str:
    if told.answer is None:
        return "under way"
    words: str = told.answer["verdict"]
    return words


def _details(answer: Any) -> Iterator[str]:
    """What belongs to a verdict: that on each recipient, the stages where there were several, new facts."""
    yield from (f"{address}: {words}" for address, words in answer["each"].items())
    if len(answer["way"]) > 1:
        yield ", ".join(f"{stage} {words} {took:g} ms" for stage, words, took in answer["way"])
    if answer["facts"]:
        yield ", ".join(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in answer["facts"].items())
