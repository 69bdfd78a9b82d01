"""`vacation` (RFC 5230, 6131): whether a message may be answered by a robot at all (RFC 3834 2), and the answer."""

import hashlib
import re
from email.utils import parseaddr

from engine.mime.folding import folded
from engine.protocols.address import normalised, split
from engine.sieve.actions import Reply
from engine.sieve.compiled import Node
from engine.sieve.errors import RunError
from engine.sieve.fields import author
from engine.sieve.run import Run

_DAY = 86_400
_USUAL = 7 * _DAY

# RFC 5230 4.6, RFC 3834 2: who speaks for a program, or for many.
_ROBOT = re.compile(
    r"(?:mailer-daemon|listserv|majordomo|no-?reply|do-?not-?reply|postmaster|owner-.*|.*-(?:request|owner|bounces?)"
    r"|.*-bounces\+.*|bounces?[+-].*)",
    re.IGNORECASE,
)
_OF_LISTS = (
    "list-id", "list-post", "list-help", "list-subscribe", "list-unsubscribe", "list-owner", "list-archive",
)  # fmt: skip
_ADDRESSED = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
_SUPPRESSED = frozenset({"all", "oof", "autoreply"})  # of Exchange: X-Auto-Response-Suppress
_OF_MIME = re.compile(r"^content-[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_SUBJECT_LIMIT = 900
_REFERENCES = 20  # that are repeated


def answer(run: Run, node: Node) -> None:
    """Adds a Reply, where there may be one; RunError where the script has answered already."""
    recipient = run.world.sender
    own = own_addresses(run, node)
    if why_not(run, own) is not None:
        return
    key = _key(run, node, recipient)
    reply = Reply(recipient, _content(run, node), key, _seconds(run, node))
    if any(isinstance(one, Reply) for one in run.actions):
        raise RunError("`vacation` is run twice")
    if not run.world.was_answered(key):
        run.act(reply, keeps=True)


def own_addresses(run: Run, node: Node) -> frozenset[str]:
    """All addresses of the one who is away, as they are compared."""
    given = run.texts(node.options["addresses"]) if "addresses" in node.options else []
    return frozenset(_compared(one) for one in (run.world.recipient, *run.world.addresses, *given) if one)


def why_not(run: Run, own: frozenset[str]) -> str | None:
    """Why this message gets no answer from a robot, whatever the script says; None: it may get one."""
    sender = run.world.sender
    if not sender:
        return "it is a report itself"
    if _ROBOT.fullmatch(split(sender)[0]):
        return "its sender is a robot"
    if _compared(sender) in own:
        return "it is from oneself"
    if any(run.fields(name) for name in _OF_LISTS):
        return "it came by a list"
    if any(_first_word(run, field) != "no" for field in run.fields("auto-submitted")):
        return "a robot wrote it"
    if any(_first_word(run, field) in {"bulk", "list", "junk"} for field in run.fields("precedence")):
        return "it was sent to many"
    for field in run.fields("x-auto-response-suppress"):
        if _SUPPRESSED & {word.strip().lower() for word in run.value(field).split(",")}:
            return "its sender wants no answers"
    for name in _ADDRESSED:
        for field in run.fields(name):
            run.spend(len(field) * 4)
            if any(_compared(one) in own for one in run.letter.addresses(field)):
                return None
    return "it is not addressed to the recipient"


def _compared(address: str) -> str:
    return normalised(parseaddr(address)[1] or address).lower()


def _first_word(run: Run, field: bytes) -> str:
    return re.split(r"[;\s(]", run.value(field), maxsplit=1)[0].lower()


def _seconds(run: Run, node: Node) -> int:
    limits = run.limits
    if "seconds" in node.options:
        wanted = run.number(node, "seconds")
        # RFC 6131 2.1: 0 is an answer to each message.
        return 0 if wanted == 0 else min(max(wanted, limits.shortest_vacation), limits.longest_vacation)
    if "days" in node.options:
        return min(max(run.number(node, "days"), 1) * _DAY, limits.longest_vacation)
    return _USUAL


def _key(run: Run, node: Node, recipient: str) -> str:
    """By which the answer is known: its handle, or else all that its reader sees of it (RFC 5230 4.2)."""
    if "handle" in node.options:
        what = ["handle", run.option(node, "handle")]
    else:
        what = [run.text(node.arguments[0]), *(run.option(node, name) for name in ("subject", "from"))]
        what.append("mime" if "mime" in node.options else "")
    digest = hashlib.sha256("\0".join([*what, _compared(recipient)]).encode("utf-8", "replace"))
    return f"vacation\0{digest.hexdigest()}"


def _content(run: Run, node: Node) -> bytes:
    original = run.fields("message-id")
    identity = _one_line(run.value(original[0])) if original else ""
    references = [_one_line(run.value(field)) for field in run.fields("references") or run.fields("in-reply-to")]
    fields = [
        author(run, node),
        folded("To", run.world.sender),
        folded("Subject", _subject(run, node)),
        b"Auto-Submitted: auto-replied\r\n",  # RFC 5230 5.5
        b"Precedence: bulk\r\n",
    ]
    if identity:
        fields.append(folded("In-Reply-To", identity))
        fields.append(folded("References", " ".join([*" ".join(references).split()[-_REFERENCES:], identity])))
    return b"".join(fields) + b"MIME-Version: 1.0\r\n" + _body(run, node)


def _subject(run: Run, node: Node) -> str:
    given = run.option(node, "subject")
    if not given:
        fields = run.fields("subject")
        # RFC 5230 5.4 asks for "Auto: " and the original's.
        given = f"Auto: {run.value(fields[0])}" if fields else "Automated reply"
    return _one_line(given)[:_SUBJECT_LIMIT]


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _body(run: Run, node: Node) -> bytes:
    text = re.sub(r"\r\n|\r|\n", "\r\n", run.text(node.arguments[0]))
    if not text.endswith("\r\n"):
        text += "\r\n"
    if "mime" in node.options:  # RFC 5230 4.1: a MIME entity, its header included
        return _entity(text).encode("utf-8", "replace")
    encoding = "7bit" if text.isascii() else "8bit"
    head = f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return (head + text).encode("utf-8", "replace")


def _entity(text: str) -> str:
    """A MIME entity with no header fields but those of MIME: the others are ours to write, From before all."""
    header, _, body = ("", "", text[2:]) if text.startswith("\r\n") else text.partition("\r\n\r\n")
    return "".join(_OF_MIME.findall(f"{header}\r\n")) + "\r\n" + body
