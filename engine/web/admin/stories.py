"""The story of a message in the reader's language: what `engine.operations` tells in English, line by line.

What other servers and scripts have said is quoted, and stays as it is; so does a line that is none of ours.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial

from engine.web.admin.wordings import figures
from engine.web.languages import FALLBACK
from engine.wording.phrases import LONGEST, figure, said

Translate = Callable[[str], str]

MOST = 3
"""Pieces that a line of ours has at its end; what looks so and goes on is somebody's words."""

_SOON = re.compile(r"\(in (\d+ (?:days|hours|minutes|seconds))\)")
_ENTRY = re.compile(r"(?P<clock>\S+ \S+Z)  (?P<first>.*)  (?P<worker>\[[^\]]+\])", re.DOTALL)
_WORKER = re.compile(r"\[(?P<worker>[^\],]+)(?:, revision (?P<number>\d+))?\]")
_CODED = re.compile(
    r"(?P<head>:? ?(?:[245]\.\d{1,3}\.\d{1,3} )?)(?P<text>.*?)(?: by (?P<server>\S+)(?P<rest> .*)?)?", re.DOTALL
)


class Stories:
    """Translates lines; ``_`` is the reader's language, and what that is called."""

    def __init__(self, _: Translate, language: str) -> None:
        self._ours, self._figure = partial(said, language), partial(figure, language)
        self._figures = partial(figures, language=language)
        self._verdicts = _verdicts(_) if language != FALLBACK else {}  # English has them as stages say them
        self._by_server = _(" by %(server)s")
        self._words = _words(_)
        self._whole = _compiled(_whole(_))
        self._open = _compiled(_open(_))
        self._took, *self._ends = _compiled({rf"(?P<rest>.*){end}": form for end, form in _ends(_).items()})
        self._soon = _("(in %(time)s)")
        self._revision = _("revision %(number)s")

    def line(self, text: str) -> str:
        """A line, or what comes next."""
        if entry := _ENTRY.fullmatch(text):
            worker = _WORKER.sub(self._worker, entry["worker"])
            return f"{entry['clock']}  {self.line(entry['first'])}  {worker}"
        return self._known(text) or self._ours(text)

    def verdict(self, value: str) -> str:
        """What a stage has decided, and why."""
        name, sign, text = value.partition(": ")
        name, space, lane = name.partition(" ")
        return f"{self._verdicts.get(name, name)}{space}{lane}{sign}{self._ours(text)}"

    def _worker(self, found: re.Match[str]) -> str:
        revision = self._revision % {"number": found["number"]}
        return f"[{found['worker']}, {revision}]" if found["number"] else found[0]

    def _known(self, text: str, ends: int = MOST) -> str:
        """Empty where it is none of ours. ``ends``: that are looked for."""
        found = self._words.get(text) or self._by(self._whole, text)
        return found or (self._by_end(text, ends) if ends else "") or self._by(self._open, text)

    def _by(self, forms: "_Forms", text: str) -> str:
        for pattern, form in forms:
            if found := pattern.fullmatch(text):
                return form % self._values(found)
        return ""

    def _by_end(self, text: str, ends: int) -> str:
        for pattern, form in self._ends if ends < MOST else (self._took, *self._ends):
            if (found := pattern.fullmatch(text)) and (rest := self._known(found["rest"], ends - 1)):
                return rest + form % self._values(found)
        return ""

    def _values(self, found: re.Match[str]) -> Mapping[str, str]:
        """What stands in the places of a form. ``what``: words of ours; ``time``: with units."""
        return {name: self._value(name, value or "") for name, value in found.groupdict().items()}

    def _value(self, name: str, value: str) -> str:
        if name == "what":
            return self._words.get(value, value)
        if name == "until":
            return _SOON.sub(lambda span: self._soon % {"time": self._figure(span[1])}, value)
        if name in ("time", "size"):
            return self._figure(value)
        if name == "ms":
            return self._figures(value)
        return self.verdict(value) if name == "verdict" else self._text(value) if name == "text" else value

    def _text(self, value: str) -> str:
        """Why, behind a code, and with who says so."""
        found = _CODED.fullmatch(value) if len(value) <= LONGEST else None
        if found is None or (text := self._ours(found["text"])) == found["text"]:
            return value
        server = self._by_server % {"server": found["server"]} if found["server"] else ""
        rest = found["rest"] or ""
        return f"{found['head']}{text}{server}{rest[:1]}{self._ours(rest[1:])}"


_Forms = list[tuple[re.Pattern[str], str]]


def _compiled(forms: Mapping[str, str]) -> _Forms:
    return [(re.compile(pattern, re.DOTALL), form) for pattern, form in forms.items()]


def _words(_: Translate) -> Mapping[str, str]:
    return {
        "accepted": _("accepted"), "refused": _("refused"), "put-off": _("put-off"), "discarded": _("discarded"),
        "delivered": _("delivered"), "deferred": _("deferred"), "failed": _("failed"), "parked": _("parked"),
        "held": _("held"), "expanded": _("expanded"), "waiting": _("waiting"), "quarantined": _("quarantined"),
        "the report of a failure": _("the report of a failure"), "the report of a delay": _("the report of a delay"),
        "what was sent on or answered": _("what was sent on or answered"),
        "a part with recipients of its own": _("a part with recipients of its own"),
        "a part that was set apart": _("a part that was set apart"),
        "let go on by an operator": _("let go on by an operator"),
        "deleted by an operator": _("deleted by an operator"),
        "deleted, parked too long": _("deleted, parked too long"), "put into a line": _("put into a line"),
        "an operator wants it tried now": _("an operator wants it tried now"),
        "given up by an operator": _("given up by an operator"),
        "how it came is not known: it was within the last second, or too long ago, or was not noted":
            _("how it came is not known: it was within the last second, or too long ago, or was not noted"),
        "nothing, it is done with.": _("nothing, it is done with."),
        "it goes on as the parts that are named above.": _("it goes on as the parts that are named above."),
        "it is no longer in the queue; how it ended will be known in a second, or is not known.":
            _("it is no longer in the queue; how it ended will be known in a second, or is not known."),
    }  # fmt: skip


def _verdicts(_: Translate) -> Mapping[str, str]:
    """What stages decide."""
    return {
        "pass": _("passed on"), "changed": _("changed"), "reject": _("refused"), "defer": _("put off"),
        "discard": _("dropped"), "quarantine": _("parked"), "delivered": _("delivered"), "each": _("each its own"),
        "lane": _("lane"), "held": _("held"),
    }  # fmt: skip


_NOTES = (
    "let go on by an operator|deleted by an operator|deleted, parked too long|parked|put into a line|"
    "an operator wants it tried now|given up by an operator"
)
_VERDICTS = r"(?:pass|changed|lane \S+|(?:reject|defer|discard|quarantine)(?=:))"
_OUTCOMES = "delivered|deferred|failed|discarded|parked|held|expanded"


def _whole(_: Translate) -> Mapping[str, str]:
    """Lines, by patterns; what may stand at their end is in ``_ends``."""
    return {
        r"from (?P<sender>\S+) to (?P<to>.+), (?P<size>[\d.,]+ \S+)": _("from %(sender)s to %(to)s, %(size)s"),
        r"by (?P<protocol>[A-Z]\S*) from (?P<peer>\S+)(?P<rest> .*)?": _("by %(protocol)s from %(peer)s%(rest)s"),
        r"it is (?P<what>.+), come of (?P<id>\w{26})": _("it is %(what)s, come of %(id)s"),
        r"it came of (?P<id>\w{26}): (?P<what>.+)": _("it came of %(id)s: %(what)s"),
        r"of it came (?P<what>[^,]+), to (?P<to>.*): (?P<id>\w{26})": _("of it came %(what)s, to %(to)s: %(id)s"),
        r"attempt (?P<number>\d+) has ended": _("attempt %(number)s has ended"),
        r"attempt has ended": _("attempt has ended"),
        r"left in the queue, (?P<what>\w+)(?P<line> in the line .+)?, due (?P<clock>\S+ \S+)":
            _("left in the queue, %(what)s%(line)s, due %(clock)s"),
        rf"(?P<what>{_NOTES}): (?P<about>.+)": "%(what)s: %(about)s",
        r"(?P<peer>\S+) turned away: (?P<text>.*)": _("%(peer)s turned away: %(text)s"),
        r"(?P<stage>[\w.-]+): (?P<verdict>.+), (?P<ms>[\d.]+) ms(?P<worker>  \[[^\]]+\])?":
            "%(stage)s: %(verdict)s, %(ms)s ms%(worker)s",
        rf"(?P<to>\S+@\S+(?:, \S+@\S+)*): (?P<verdict>{_VERDICTS}.*)":
            "%(to)s: %(verdict)s",
        r"for (?P<to>\S+@\S+(?:, \S+@\S+)*)": _("for %(to)s"),
        r"(?P<host>\S+(?: \[[^\]]+\])?) for (?P<to>\S+@\S+(?:, \S+@\S+)*)": _("%(host)s for %(to)s"),
        r"it is parked: (?P<command>`[^`]+`) lets it go on, `delete` in its place ends it\.":
            _("it is parked: %(command)s lets it go on, `delete` in its place ends it."),
        r"it is parked until (?P<until>[^,]+), then it is deleted: (?P<command>`[^`]+`) lets it go on, `delete` in its "
        r"place ends it\.":
            _("it is parked until %(until)s, then it is deleted: %(command)s lets it go on, `delete` in its place ends "
              "it."),
        r"it is held for its sender until (?P<until>.+)\.": _("it is held for its sender until %(until)s."),
        r"attempt (?P<number>\d+) at (?P<until>.+?)\. (?P<command>`[^`]+`) tries it now\.":
            _("attempt %(number)s at %(until)s. %(command)s tries it now."),
        r"attempt (?P<number>\d+)(?P<line>, in the line .+)?, once the server runs\.":
            _("attempt %(number)s%(line)s, once the server runs."),
        r"attempt (?P<number>\d+)(?P<line>, in the line .+)?: it is under way, or has its turn at any moment\.":
            _("attempt %(number)s%(line)s: it is under way, or has its turn at any moment."),
    }  # fmt: skip


def _ends(_: Translate) -> Mapping[str, str]:
    """What may stand at the end of a line; then the rest of it is looked at. The first one is always the last."""
    return {
        r", in (?P<time>[\d,]+ (?:ms|days|hours|minutes|seconds))": _(", in %(time)s"),
        r", again in (?P<time>\d+ \w+)": _(", again in %(time)s"),
        r", in the line (?P<line>\S+)": _(", in the line %(line)s"),
        r"; account (?P<account>\d+)": _("; account %(account)s"),
        r" \(as a script says\)": _(" (as a script says)"),
        r" \(wanted: (?P<policy>[^)]*)\)": _(" (wanted: %(policy)s)"),
    }  # fmt: skip


def _open(_: Translate) -> Mapping[str, str]:
    """Lines that end in what others have said: looked at when nothing of ours is left at the end."""
    return {
        r"(?P<what>accepted|refused|put-off|discarded) in the lane (?P<lane>[\w-]+)(?P<text>: .*)?":
            _("%(what)s in the lane %(lane)s%(text)s"),
        rf"(?P<to>\S+@\S+) \(for (?P<original>[^)]+)\): (?P<what>{_OUTCOMES})(?P<text> .*)?":
            _("%(to)s (for %(original)s): %(what)s%(text)s"),
        rf"(?P<to>\S+@\S+): (?P<what>{_OUTCOMES})(?P<text>,? .*)?": "%(to)s: %(what)s%(text)s",
        r"site (?P<site>[^;]+)(?P<rest>;.*)?": _("site %(site)s%(rest)s"),
    }  # fmt: skip
