"""The texts of the drawing of the pipeline and of its figures, in the reader's language."""

import re
from collections.abc import Callable, Mapping

from babel.numbers import get_decimal_symbol, get_group_symbol

from engine.drawing.pipeline import Notes


def texts_of(_: Callable[[str], str]) -> Mapping[str, str]:
    """Every text that ``engine/drawing`` and ``engine/watching/wording`` say, by what it is in English."""
    return {
        "The way of a message through Postroad": _("The way of a message through Postroad"),
        "The sending client waits": _("The sending client waits"),
        "what is refused here never bounces": _("what is refused here never bounces"),
        "On disk": _("On disk"),
        "synced": _("synced"),
        "On our own time": _("On our own time"),
        "retries, bounces, a lane for each recipient": _("retries, bounces, a lane for each recipient"),
        "250: from now on the mail is ours": _("250: from now on the mail is ours"),
        "not now: it waits, and is tried again": _("not now: it waits, and is tried again"),
        "not now": _("not now"),
        "lane %(name)s": _("lane %(name)s"),
        "→ lane %(name)s": _("→ lane %(name)s"),
        "if %(condition)s": _("if %(condition)s"),
        "%(num)s worker": _("%(num)s worker"),
        "%(num)s workers": _("%(num)s workers"),
        "next server": _("next server"),
        "mailboxes": _("mailboxes"),
        "Lane %(name)s: %(stages)s": _("Lane %(name)s: %(stages)s"),
        "; mail comes in by %(listeners)s": _("; mail comes in by %(listeners)s"),
        "; then lane %(lanes)s": _("; then lane %(lanes)s"),
        " or ": _(" or "),
        **_of_figures(_),
    }


def _of_figures(_: Callable[[str], str]) -> Mapping[str, str]:
    """What is written into the drawing: verdicts, states of the queue, what waits."""
    return {
        "%(num)s wait": _("%(num)s wait"),
        "refused %(rate)s": _("refused %(rate)s"),
        "oldest %(time)s": _("oldest %(time)s"),
        "waiting": _("waiting"),
        "held": _("held"),
        "quarantined": _("parked"),
        "pass": _("passed on"),
        "changed": _("changed"),
        "reject": _("refused"),
        "defer": _("put off"),
        "discard": _("dropped"),
        "quarantine": _("parked"),
        "delivered": _("delivered"),
        "lane": _("routed"),
        "each": _("each its own"),
    }


def saying(_: Callable[[str], str]) -> Callable[[str], str]:
    """What gives each of these texts in that language, and any other, such as the name of a stage, as it is."""
    known = texts_of(_)
    return lambda text: known.get(text, text)


def figures(text: str, language: str) -> str:
    """Numbers in a text of ours as they are written in that language: "1,204.5" is "1.204,5" in Vietnamese."""
    signs = {".": get_decimal_symbol(language), ",": get_group_symbol(language)}
    return re.sub(r"(?<=\d)[.,](?=\d)", lambda found: signs[found[0]], text)


def figured(notes: Notes, language: str) -> Notes:
    """The same of all that is written into the drawing."""

    def each(lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(figures(line, language) for line in lines)

    return Notes(
        {name: each(lines) for name, lines in notes.links.items()},
        {name: each(lines) for name, lines in notes.stages.items()},
        each(notes.queue),
    )
