"""The letter that tells somebody what was parked for them: as text and as HTML that any program shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from html import escape

from engine.message import MessageId
from engine.mime.preview import shortened
from engine.wording.letters import letters
from engine.wording.phrases import figure, said

_CELL = "padding:10px 8px;border-bottom:1px solid #d8dce0;vertical-align:top"
_BUTTON = (
    "display:inline-block;padding:5px 12px;border:1px solid #2f6f4f;border-radius:4px;color:#2f6f4f;"
    "text-decoration:none;white-space:nowrap"
)
_QUIET = "color:#5b6570;font-size:13px"


@dataclass(frozen=True, slots=True)
class Line:
    """One parked message, in words for its recipient."""

    sender: str
    subject: str
    date: str  # when it came
    reason: str
    score: float | None = None
    release: str = ""  # link or code; empty: it is not for the recipient to let it go
    delete: str = ""


@dataclass(frozen=True, slots=True)
class About:
    """What else the letter says."""

    identity: MessageId
    sender: str
    to: str
    more: int = 0  # parked messages that have no line
    expire: str = ""  # how long they are kept, in words; empty: for ever
    linked: bool = True  # lines have links, and not codes
    language: str = "en"  # of the recipient

    @property
    def domain(self) -> str:
        return self.to.rpartition("@")[2]


def letter(about: About, lines: Sequence[Line]) -> bytes:
    """The whole message, with CRLF."""
    count = len(lines) + about.more
    words = letters(about.language).digest
    what = words["one"] if count == 1 else words["many"].format(count=figure(about.language, f"{count:,}"))
    message = EmailMessage(policy=SMTP.clone(utf8=not (about.to + about.sender).isascii()))
    message["From"] = f"{words['name']} <{about.sender}>"
    message["To"] = about.to
    message["Subject"] = words["subject"].format(what=what)
    message["Date"] = formatdate(about.identity.time, localtime=True)
    message["Message-ID"] = f"<{about.identity}.quarantine@{about.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 5: nobody's autoresponder answers
    message["List-Id"] = f"Quarantine <quarantine.{about.domain}>"  # RFC 2919: by which it can be filed
    message.set_content(_text(about, lines, what), cte="quoted-printable")
    message.add_alternative(_html(about, lines, what), subtype="html", cte="quoted-printable")
    return message.as_bytes()


def _text(about: About, lines: Sequence[Line], what: str) -> str:
    words = letters(about.language).digest
    parts = [words["begin"].format(what=what, to=about.to)]
    for line in lines:
        found = [
            words["line"].format(
                sender=_plain(line.sender, about), subject=_plain(line.subject, about), date=line.date,
                reason=_reason(line, about),
            )
        ]  # fmt: skip
        if line.release:
            found.append(words["line_release"].format(target=line.release))
        if line.delete:
            found.append(words["line_delete"].format(target=line.delete))
        parts.append("\n".join(found))
    return "\n\n".join([*parts, *_end(about)]) + "\n"


def _html(about: About, lines: Sequence[Line], what: str) -> str:
    words = letters(about.language)
    rows = "\n".join(_row(line, about) for line in lines)
    end = "".join(f'<p style="{_QUIET}">{escape(text)}</p>' for text in _end(about))
    return (
        f'<!DOCTYPE html>\n<html lang="{words.language}"><head><meta charset="utf-8">'
        f"<title>{words.digest['name']}</title></head>\n"
        '<body style="margin:0;padding:16px;font-family:Helvetica,Arial,sans-serif;font-size:15px;color:#1d2329;'
        'background:#ffffff">\n<div style="max-width:760px">\n'
        f'<h1 style="font-size:19px;margin:0 0 4px">{words.digest["heading"].format(what=what)}</h1>\n'
        f'<p style="{_QUIET};margin:0 0 12px">{words.digest["for"].format(to=escape(about.to))}</p>\n'
        '<table role="presentation" cellspacing="0" cellpadding="0" '
        'style="width:100%;border-collapse:collapse;border-top:1px solid #d8dce0">\n'
        f"{rows}\n</table>\n{end}\n</div>\n</body></html>\n"
    )


def _row(line: Line, about: About) -> str:
    buttons = "<br>".join(_button(name, target, about.linked) for name, target in _targets(line, about) if target)
    return (
        f'<tr><td style="{_CELL};word-break:break-word"><strong>{escape(_plain(line.subject, about))}</strong><br>'
        f'{escape(_plain(line.sender, about))}<br><span style="{_QUIET}">{escape(line.date)} &middot; '
        f"{escape(_reason(line, about))}</span></td>\n"
        f'<td style="{_CELL};text-align:right;line-height:2.2">{buttons}</td></tr>'
    )


def _button(name: str, target: str, linked: bool) -> str:
    if linked:
        return f'<a href="{escape(target)}" style="{_BUTTON}">{name}</a>'
    return f'<span style="{_QUIET};word-break:break-all">{name}: {escape(target)}</span>'


def _targets(line: Line, about: About) -> Sequence[tuple[str, str]]:
    words = letters(about.language).digest
    return (words["release"], line.release), (words["delete"], line.delete)


def _end(about: About) -> list[str]:
    words, found = letters(about.language).digest, list[str]()
    if about.more:
        found.append(words["more"].format(count=figure(about.language, f"{about.more:,}")))
    if not about.linked:
        found.append(words["codes"])
    if about.expire:
        found.append(words["expire"].format(time=figure(about.language, about.expire)))
    return found


def _reason(line: Line, about: About) -> str:
    score = "" if line.score is None else letters(about.language).digest["score"].format(score=f"{line.score:g}")
    return said(about.language, _plain(line.reason, about)) + score


def _plain(text: str, about: About) -> str:
    """The beginning of what a stranger wrote, on one line and without what a program would obey."""
    return shortened([text]) or letters(about.language).digest["none"]
