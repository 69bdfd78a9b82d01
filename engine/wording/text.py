"""The part of a report that a person reads."""

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from engine.protocols.dsn import ACTIONS, TEXT_LIMIT, Human, RecipientReport
from engine.wording.words import Words

RECIPIENTS = 1000
"""Recipients of one report that are written of; the part for programs has all."""

_WIDTH = 76
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def human(words: Words, hostname: str, arrived: float, recipients: Sequence[RecipientReport]) -> Human:
    """The text in these words. ``arrived`` is a Unix time in seconds."""
    lines = [words.server.format(hostname=hostname), ""]
    for action in ACTIONS:
        concerned = [recipient for recipient in recipients if recipient.action == action]
        if concerned:
            lines += [words.happened[action].format(date=_date(words, arrived)), ""]
            for recipient in concerned[:RECIPIENTS]:
                lines += [*_of(words, recipient), ""]
            lines += [*words.advice[action].strip().splitlines(), ""]
    weightiest = min((recipient.action for recipient in recipients), key=ACTIONS.index)
    return Human(words.name, words.subject[weightiest], "\n".join(lines), words.language)


def _of(words: Words, recipient: RecipientReport) -> Iterator[str]:
    yield f"    {_clean(recipient.address)}"
    why = words.why(recipient.code) if recipient.action in ("failed", "delayed") else ""
    yield from _indented(why)
    if not (why and recipient.reply):  # else what we have to say is what both of them say
        yield from _indented(recipient.text)
    if recipient.reply:
        named = recipient.remote and not recipient.remote.startswith("/")
        yield from _indented(words.said.format(server=recipient.remote) if named else words.said_unnamed)
        yield from _indented(recipient.reply)
    if recipient.action == "delayed" and recipient.will_retry_until:
        yield from _indented(words.keep_trying.format(date=_date(words, recipient.will_retry_until)))


def _indented(text: str) -> list[str]:
    margin = " " * 6
    return textwrap.wrap(_clean(text), _WIDTH, initial_indent=margin, subsequent_indent=margin, break_long_words=False)


def _clean(text: str) -> str:
    text = _UNSAFE.sub(" ", text).strip()
    return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"


def _date(words: Words, time: float) -> str:
    """Not by strftime(3), which is at odds with what is not ASCII in some locales."""
    when = datetime.fromtimestamp(int(time), UTC)
    return re.sub("%([YmdHMS%])", lambda match: "%" if match[1] == "%" else f"{when:%{match[1]}}", words.date)
