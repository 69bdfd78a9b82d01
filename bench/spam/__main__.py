"""`python -m bench.spam --spam DIR --ham DIR`: the spam filter beside others, on the same mail."""

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from bench.machine import machine
from bench.spam.corpus import Mail, corpus, splits
from bench.spam.filters import FILTERS, Filter
from bench.spam.measure import Judged, figures, recall_at
from engine.cli.progress import progress

_HEADING = (
    "| filter | recall | precision | false alarms | recall at 0.1 % | recall at 0.5 % | ms/message |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)

_path = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--spam", multiple=True, required=True, type=_path, help="Spam. May be given again.")
@click.option("--ham", multiple=True, required=True, type=_path, help="Mail that is wanted. May be given again.")
@click.option("--folds", default=5, show_default=True, type=click.IntRange(2), help="Parts that the mail is cut into.")
@click.option("--rounds", type=click.IntRange(1), help="How many of them are judged in turn.  [default: all]")
@click.option("--filter", "names", multiple=True, type=click.Choice([one.name for one in FILTERS]), help="Only these.")
def main(*, spam: Sequence[Path], ham: Sequence[Path], folds: int, rounds: int | None, names: Sequence[str]) -> None:
    """Judge each part of the mail by what was learnt of all others.

    Prints a table with each filter's own threshold, and with those by which 0.1 % and 0.5 % of the ham are spam.
    """
    mail = corpus(spam, ham)
    count = sum(one.is_spam for one in mail)
    rounds = min(rounds or folds, folds)
    click.echo(
        f"{machine()}\n{count:,} spam, {len(mail) - count:,} ham; {rounds} of {folds} parts judged\n\n{_HEADING}"
    )
    for kind in FILTERS:
        if names and kind.name not in names:
            continue
        if lacking := kind.lacking():
            click.echo(f"{kind.name}: {', '.join(lacking)} is not here", err=True)
            continue
        _row(kind, mail, folds, rounds)


def _row(kind: type[Filter], mail: Sequence[Mail], folds: int, rounds: int) -> None:
    judged: list[tuple[bool, float]] = []
    began = spent = 0.0
    version = ""
    with progress(kind.name, "messages") as step:
        for split in splits(mail, folds, rounds):
            with tempfile.TemporaryDirectory(prefix="postroad-spam-") as folder, kind(Path(folder)) as one:
                version = one.version()
                if kind.learns:
                    one.learn(split.learnt)
                began = time.perf_counter()
                for each in split.judged:
                    judged.append((each.is_spam, one.score(each)))
                    step(len(judged), len(mail) * rounds // folds)
                spent += time.perf_counter() - began
    click.echo(_told(f"{kind.name} ({version})", kind.cut, judged, spent))
    sys.stdout.flush()


def _told(name: str, cut: float, judged: Judged, spent: float) -> str:
    found = figures(judged, cut)
    cells = (
        name,
        f"{found.recall:.2%}",
        f"{found.precision:.2%}",
        f"{found.alarms} of {found.ham:,} ({found.alarm_rate:.2%})",
        f"{recall_at(judged, 0.001):.2%}",
        f"{recall_at(judged, 0.005):.2%}",
        f"{spent / max(len(judged), 1) * 1000:.1f}",
    )
    return f"| {' | '.join(cells)} |"


main()
