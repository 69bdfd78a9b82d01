"""`python -m bench.ageing`: lets mail pass through a store, and says what became of its space and its commits."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import click
import trio

from bench.ageing.course import AGED, CONTROL, FRESH, Course, Stretch
from bench.ageing.mail import BATCHES, MIB, Flow
from bench.ageing.space import BOUND
from bench.ageing.stores import STORES, Commit, Opening
from bench.latency import quantile
from bench.machine import file_system, machine

_STRETCHES = 50
"""Lines of progress."""

_HEADING = (
    "  messages   alive  in use, MiB  LMDB file  ÷ peak  free pages  files, MiB"
    "  commit, ms: p50     p99  CPU: p50     p99  messages/s"
)


@click.command()
@click.argument("store", type=click.Choice(list(STORES)), default="queue")
@click.option("--messages", default=1_000_000, show_default=True, type=click.IntRange(1000), help="That pass through.")
@click.option("--least", default=2000, show_default=True, type=click.IntRange(1), help="That are there at once.")
@click.option("--most", default=20_000, show_default=True, type=click.IntRange(1), help="In the middle.")
@click.option("--backlog", default=0, type=click.IntRange(0), help="Small messages first, of which four of five stay.")
@click.option("--looks", default=4, show_default=True, type=click.IntRange(0), help="Comparisons with a fresh store.")
@click.option("--turns", default=2000, show_default=True, type=click.IntRange(1), help="Commits of each in one.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where data goes.")
def main(
    *, store: str, messages: int, least: int, most: int, backlog: int, looks: int, turns: int, folder: Path | None
) -> None:
    """Let mail of mixed sizes pass through STORE, the queue or the mailboxes: it comes, stays a while, and goes.

    Says how much of the disk is taken, beside the most that was live at once, and how long commits take beside fresh
    stores that hold the same messages and get the same mail. Exits with 1 when too much is taken, or the store does not
    agree with itself.
    """
    with tempfile.TemporaryDirectory(prefix="postroad-ageing-", dir=folder) as name:
        click.echo(f"{machine()}; {file_system(Path(name))}")
        flow = Flow(messages, least, most)
        good = trio.run(partial(_run, STORES[store], flow, Path(name), backlog=backlog, looks=looks, turns=turns))
    sys.exit(not good)


async def _run(opening: Opening, flow: Flow, folder: Path, *, backlog: int, looks: int, turns: int) -> bool:
    compared = 0
    async with opening(folder / "aged") as store:
        course = Course(store, flow, opening, folder)
        await course.begin(backlog)
        click.echo(_HEADING)
        for number in range(1, _STRETCHES + 1):
            until = flow.messages * number // _STRETCHES
            if flow.passed < until:  # else a comparison has come so far
                click.echo(_stretch(course, await course.go_on(until)))
            if looks and number * looks // _STRETCHES > compared:
                compared += 1
                click.echo(_comparison(await course.compare(turns)))
        problems = [*store.problems(), *await course.end()]
    click.echo(
        f"LMDB file: {course.peak.stored / MIB:,.0f} MiB, {course.share:.3f} times the most that was in use at once, "
        f"{course.peak.used / MIB:,.0f} MiB (bound: {BOUND})\n"
        f"With content in files: {course.peak.taken / MIB:,.0f} MiB at most, "
        f"{course.peak.taken / course.peak.live:.3f} times the most that was live, {course.peak.live / MIB:,.0f} MiB"
    )
    for problem in problems:
        click.echo(problem)
    return course.share <= BOUND and not problems


def _stretch(course: Course, stretch: Stretch) -> str:
    space = stretch.space
    seconds, cpu = (_quantiles(stretch.commits, of) for of in ("seconds", "cpu"))
    return (
        f"{stretch.passed:10,} {stretch.alive:7,} {space.used / MIB:12,.0f} {space.stored / MIB:10,.0f} "
        f"{course.share:7.3f} {space.free:11,} {space.files / MIB:11,.0f} "
        f"{seconds[0]:16.2f} {seconds[1]:7.2f} {cpu[0]:9.2f} {cpu[1]:7.2f} {stretch.rate:11,.0f}"
    )


def _comparison(commits: Mapping[str, Sequence[Commit]]) -> str:
    """Of all commits, and of those with so many messages; in brackets how many times what the fresh store took."""
    lines = []
    for size in (0, *BATCHES):
        lines.append(f"    {f'{size} messages in a commit' if size else 'all commits'}")
        fresh: Sequence[float] = ()
        for name in (FRESH, CONTROL, AGED):
            some = [commit for commit in commits[name] if size in (0, commit.messages)]
            found = (*_quantiles(some, "seconds"), *_quantiles(some, "cpu"))
            fresh = fresh or found
            shown = (f"{value:7.2f} ({value / first:.2f})" for value, first in zip(found, fresh, strict=True))
            lines.append("      {:11} p50{}, p99{} ms; CPU: p50{}, p99{} ms".format(name, *shown))
    return "\n".join(lines)


def _quantiles(commits: Sequence[Commit], of: str) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    ordered = sorted(1000 * getattr(commit, of) for commit in commits)
    return quantile(ordered, 0.5), quantile(ordered, 0.99)


if __name__ == "__main__":
    main()
