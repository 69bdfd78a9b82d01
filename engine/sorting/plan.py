"""What comes of a script's actions: places in mailboxes, messages to send, things to remember, a verdict."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from engine.mailbox.deliver import TO_INBOX, TO_JUNK, Place
from engine.mailbox.flags import SYSTEM
from engine.mailbox.names import INBOX_NAME, USES, canonical
from engine.mailbox.remembered import Remembered
from engine.message import JUNK, Message
from engine.sieve import Action, Discard, FileInto, Keep, Letter, Notify, Redirect, Reject, Remember, Reply
from engine.sorting import letters
from engine.sorting.world import Person, Surroundings

SENT = "sent"
"""The key under which an account remembers how much its scripts have sent within a day."""

_DAY = 86_400_000


@dataclass(slots=True)
class Plan:
    """What is to be done with one message for one account."""

    places: list[Place] = field(default_factory=list)
    sends: list[Message] = field(default_factory=list)
    remember: list[Remembered] = field(default_factory=list)
    refusal: str = ""
    trouble: list[str] = field(default_factory=list)  # what a script wanted and did not get


class Variants:
    """The header sections that scripts have given a message: each is stored once, whoever gets it."""

    def __init__(self, message: Message) -> None:
        self._message = message
        self._headers: dict[bytes, int] = {}
        self.messages: list[Message] = []

    @cached_property
    def _end(self) -> int | None:
        return letters.header_end(self._message)

    def message(self, header: bytes | None) -> Message:
        return (
            self._message if header is None or self._end is None else letters.edited(self._message, header, self._end)
        )

    def number(self, header: bytes | None) -> int:
        """By which a place names it; 0: the message as it came, also where its header section has no end."""
        if header is None or self._end is None:
            return 0
        number = self._headers.get(header)
        if number is None:
            self.messages.append(self.message(header))
            number = self._headers[header] = len(self.messages)
        return number


class Planner:
    """Turns actions into a plan."""

    def __init__(self, world: Surroundings, letter: Letter, variants: Variants, sends_per_day: int) -> None:
        self._world = world
        self._letter = letter
        self._variants = variants
        self._now = int(world.time * 1000)
        self._left = sends_per_day - world.times(SENT)
        self._is_junk = bool(world.message.fact(JUNK))
        self.plan = Plan()

    @property
    def _person(self) -> Person:
        return self._world.person

    def take(self, actions: Iterable[Action], remember: Iterable[Remember]) -> Plan:
        """The plan for these actions. Messages that cannot be sent on stay in the inbox."""
        plan = self.plan
        for action in actions:
            self._take(action)
        count = sum(len(message.recipients) for message in plan.sends)
        if count:
            plan.remember.append(Remembered(SENT, self._now + _DAY, again=False, times=count))
        for one in remember:
            self._remember(one.key, one.seconds, again=one.again)
        return plan

    def _remember(self, key: str, seconds: int, *, again: bool = True) -> None:
        self.plan.remember.append(Remembered(key, self._now + seconds * 1000, again, seen=self._world.times(key)))

    def _take(self, action: Action) -> None:
        match action:
            case Keep(flags, header):
                kept, keywords = _flags(flags)
                place = TO_JUNK[0] if self._is_junk else TO_INBOX[0]
                self._place(place._replace(flags=kept, keywords=keywords, variant=self._variants.number(header)))
            case FileInto():
                self._place(self._folder(action))
            case Redirect(address, header):
                self._redirect(address, header)
            case Discard():
                pass
            case Reject(reason):
                self._reject(reason)
            case Reply() if self._is_junk:
                pass  # who sent spam need not learn that it has arrived, and is often somebody else
            case Reply(recipient, content, key, seconds):
                if self._send(content, (recipient,)) and seconds:
                    self._remember(key, seconds)
            case Notify(recipients, content):
                self._send(content, recipients)

    def _place(self, place: Place) -> None:
        if place not in self.plan.places:
            self.plan.places.append(place)

    def _folder(self, action: FileInto) -> Place:
        bits, keywords = _flags(action.flags)
        variant = self._variants.number(action.header)
        number = self._world.number(action.mailbox_id) if action.mailbox_id else 0
        try:
            name = canonical(action.folder)
        except ValueError as error:
            self.plan.trouble.append(f"there is no folder {action.folder!r}: {error}")
            return Place(INBOX_NAME, bits, keywords, number, variant=variant)
        use = next((USES.index(use) for use in USES[1:] if use.lower() == action.special_use.lower()), 0)
        return Place(name, bits, keywords, number, use, action.create, variant)

    def _redirect(self, address: str, header: bytes | None) -> None:
        if letters.was_here(self._letter, self._person):
            self.plan.trouble.append(f"a loop: it was redirected from here before, and not to {address} again")
        elif self._may_send(1):
            copy = self._variants.message(header)
            self.plan.sends.append(letters.redirected(self._world, copy, address, is_edited=header is not None))
            return
        self._place(Place(variant=self._variants.number(header)))

    def _reject(self, reason: str) -> None:
        if self._world.sender:
            self.plan.refusal = " ".join(reason.split()) or "refused by the recipient"
        else:  # nobody would hear of it
            self._place(Place())

    def _send(self, content: bytes, recipients: Sequence[str]) -> bool:
        may_be = self._may_send(len(recipients))
        if may_be:
            self.plan.sends.append(letters.finished(self._world, content, recipients))
        return may_be

    def _may_send(self, count: int) -> bool:
        if count > self._left:
            self.plan.trouble.append("as much was sent today as scripts may send")
            return False
        self._left -= count
        return True


def _flags(names: Iterable[str]) -> tuple[int, tuple[str, ...]]:
    """System flags as bits, and keywords."""
    bits, keywords = 0, []
    for name in names:
        if name in SYSTEM:
            bits |= SYSTEM[name]
        else:
            keywords.append(name)
    return bits, tuple(keywords)
