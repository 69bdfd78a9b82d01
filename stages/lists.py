"""Lists: refuse or mark mail from those who are blocked, and say who is allowed. A pure stage."""

from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal, TypeAlias

from engine import Defer, Each, Message, Quarantine, Reject, Session, Verdict, domain_of
from engine.authentication.author import authors
from engine.authentication.fields import split_message
from engine.directory import Directory, Unavailable, asked, is_bare_postmaster, reached, split
from engine.lists import Listed, Sender
from engine.lists import Lists as Store
from engine.lists.entries import Identity
from engine.message import RELEASED

Treatment: TypeAlias = Literal["reject", "quarantine", "mark"]

REFUSED = Reject("mail from this sender is not taken here", code="5.7.1")

BLOCKED, ALLOWED = "lists.blocked", "lists.allowed"
"""The facts: whether a list blocks this sender for these recipients, or allows it."""

FLAG = "X-Spam-Flag"

_IDENTITIES = 10
"""Authors that are looked for: who names more gets no better treatment."""


@dataclass(slots=True)
class Lists:
    """Looks the sender up in the list of each recipient, of its domain, and of the server; the nearest one counts.

    Blocked by the envelope's sender or the network, mail is refused at RCPT; by From, behind the content.
    """

    leaves: ClassVar = ("lists.allowed", "lists.blocked")

    directory: Directory
    lists: Store
    _: KW_ONLY
    # What becomes of mail from those whom the server's list or that of the recipient's domain blocks.
    blocked: Treatment = "reject"
    # The same where one account's own list does.
    blocked_by_user: Treatment = "mark"

    @property
    def waits(self) -> bool:
        """Not while the directory is on this machine."""
        return self.directory.limiter is not None

    async def at_recipient(self, session: Session, sender: str, recipient: str) -> Reject | None:
        """Refuse a sender or network that is blocked. What may be allowed, once it is proved, is not refused here."""
        identities = (Identity(sender, proved=True),) if sender else ()
        try:
            found = await asked(self.directory, self._listed, Sender(identities, session.peer), recipient)
        except Unavailable:  # the message will meet the same, and wait
            return None
        return REFUSED if found and not found.allowed and self._treatment(found) == "reject" else None

    async def __call__(self, message: Message) -> Verdict:
        try:
            return await asked(self.directory, self._judged, message)
        except Unavailable as error:
            return Defer("the directory cannot be asked now", code="4.3.0", log=str(error))

    def _judged(self, message: Message) -> Verdict:
        sender = sender_of(message)
        found = {address: self._listed(sender, address) for address in message.recipients}
        if not any(found.values()):
            return message
        wanted = {address: "" if said is None else self._wanted(message, said) for address, said in found.items()}
        # A bounce for some of the recipients would go to whoever the sender is said to be.
        if "reject" in wanted.values() and set(wanted.values()) != {"reject"}:
            wanted = {address: "quarantine" if what == "reject" else what for address, what in wanted.items()}
        verdicts = {what: _verdict(message, what) for what in set(wanted.values())}
        if len(verdicts) == 1:
            return next(iter(verdicts.values()))
        return Each({address: verdicts[what] for address, what in wanted.items()})

    def _listed(self, sender: Sender, recipient: str) -> Listed | None:
        name = split(recipient)
        if is_bare_postmaster(recipient) or (name and name[0] == "postmaster"):
            return None  # who is blocked by mistake must be able to say so. RFC 5321 4.5.1
        accounts = reached(self.directory, recipient, most=1)
        return self.lists.says(sender, accounts[0].address if accounts else recipient)

    def _wanted(self, message: Message, said: Listed) -> str:
        if said.allowed:
            return "allow"
        treatment = self._treatment(said)
        return "mark" if treatment == "reject" and message.fact(RELEASED) else treatment

    def _treatment(self, said: Listed) -> Treatment:
        return self.blocked_by_user if said.by_user else self.blocked


def _verdict(message: Message, what: str) -> Message | Reject | Quarantine:
    match what:
        case "allow":
            return message.with_fact(ALLOWED, True)
        case "mark":
            return message.with_fact(BLOCKED, True).with_header(FLAG, "YES")
        case "quarantine":
            return Quarantine("the sender is blocked by a list")
        case "reject":
            return REFUSED
    return message


def sender_of(message: Message) -> Sender:
    """Who the message is from, and what of it is proved: by a login, or by what `authenticate` has found."""
    session = message.session
    by_us = bool(session.login) or session.trusted
    identities = [Identity(address, by_us or _author_is_proved(message, address)) for address in _authors(message)]
    if len(identities) > 1:  # a second author proves nothing of the first one
        identities = [one._replace(proved=by_us) for one in identities]
    if message.sender:
        identities.append(Identity(message.sender, by_us or message.fact("spf.result") == "pass"))
    return Sender(tuple(dict.fromkeys(identities)), session.peer)


def _authors(message: Message) -> Sequence[str]:
    fields, _ = split_message(message.content.chunks())
    try:
        return [str(author) for author in authors(fields)[:_IDENTITIES]]
    except ValueError:  # nobody can say who it is
        return []


def _author_is_proved(message: Message, address: str) -> bool:
    """DMARC passed, or where no policy is published, SPF or a signature of the author's own domain or one above it."""
    if message.fact("dmarc.result") in ("pass", "fail"):
        return message.fact("dmarc.result") == "pass"
    author = domain_of(address)
    return any(author == domain or author.endswith(f".{domain}") for domain in _proving(message))


def _proving(message: Message) -> Iterator[str]:
    signed = message.fact("dkim.passed")
    if isinstance(signed, list):
        yield from (str(domain).lower() for domain in signed if "." in str(domain))
    if message.fact("spf.result") == "pass":
        yield domain_of(message.sender)
