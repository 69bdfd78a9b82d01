"""Runs the scripts of accounts on a message that is delivered to them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import trio

from engine.config import Config, Sieve
from engine.links import wire
from engine.mailbox import MailboxOwner, Outcome, Recipient, StorageError
from engine.mailbox.remembered import Remembered
from engine.mailbox.scripts import Active
from engine.message import Message
from engine.observe.events import event
from engine.sieve import Octets, ScriptError, compile_script, of_message
from engine.sorting import letters
from engine.sorting.budget import Budget
from engine.sorting.chain import Link, run
from engine.sorting.library import Library, limits_of
from engine.sorting.plan import Plan, Planner, Variants
from engine.sorting.world import MaySendAs, Person, Surroundings
from engine.verdict import Delivered, Discard, Reject
from engine.wording.letters import LanguageOf, english

THREADS = 2
"""Scripts that run at once. They compute, so that more would only take turns."""

TOLD_AGAIN = 30 * 86_400_000
"""Milliseconds after which the owner of a script is told again of the same error."""

SUBJECT = 100
"""Characters of a message's subject that are repeated."""

OWN = "own"
"""How an account's script is called in events."""

Said: TypeAlias = Delivered | Discard | Reject


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator says about scripts, compiled."""

    sieve: Sieve = Sieve()
    before: tuple[Link, ...] = ()
    after: tuple[Link, ...] = ()

    @classmethod
    def of(cls, config: Config) -> "Rules":
        """OSError for a file that cannot be read, ScriptError for one that is no script."""
        sieve = config.sieve
        limits = limits_of(sieve)
        before, after = (
            tuple([Link(path.name, compile_script(path.read_bytes(), limits)) for path in paths])
            for paths in (sieve.before, sieve.after)
        )
        return cls(sieve, before, after)


@dataclass(frozen=True, slots=True)
class Sorted:
    """What scripts want, for the accounts that have any: what each gets, and what is answered where that is more than
    that it was delivered."""

    recipients: Mapping[int, Recipient] = field(default_factory=dict)
    variants: tuple[Message, ...] = ()
    said: Mapping[int, Said] = field(default_factory=dict)


UNSORTED = Sorted()


class Sorter:
    """All scripts of the process that owns the mailboxes. ``rules`` may be replaced at any time."""

    def __init__(
        self,
        owner: MailboxOwner,
        hostname: str,
        may_send_as: MaySendAs,
        clock: Callable[[], float] = time.time,
        *,
        language: LanguageOf = english,
    ) -> None:
        self._scripted = owner.scripted
        self._mailboxes = owner.reader
        self._hostname = hostname
        self._may_send_as = may_send_as
        self._language = language
        self._clock = clock
        self._threads = trio.CapacityLimiter(THREADS)
        self._budget = Budget()
        self.rules = Rules()

    @property
    def rules(self) -> Rules:
        return self._rules

    @rules.setter
    def rules(self, rules: Rules) -> None:
        self._rules = rules
        self._limits = limits_of(rules.sieve)
        self._library = Library(self._mailboxes, self._limits, rules.sieve.include)

    async def sort(self, message: Message, people: Mapping[int, Person]) -> Sorted:
        """What scripts want done with the message. Nothing is done. StorageError."""
        if self._scripted.isdisjoint(people) and not self._rules.before and not self._rules.after:
            return UNSORTED
        return await trio.to_thread.run_sync(self._sort, message, people, limiter=self._threads)

    def said(self, message: Message, account: int) -> Said | None:
        """What was answered for an account that has had this message already; None: nothing more than that."""
        octets = self._mailboxes.said(message.id, account)
        if octets is None:
            return None
        try:
            return wire.unpack_verdict(wire.unpack(octets), message)  # type: ignore[return-value]
        except wire.WireError:  # another release wrote it: all that is left is that the account has it
            return None

    def _sort(self, message: Message, people: Mapping[int, Person]) -> Sorted:
        active = self._mailboxes.active_scripts(people)
        letter, variants = of_message(message), Variants(message)
        recipients: dict[int, Recipient] = {}
        said: dict[int, Said] = {}
        for account, person in people.items():
            try:
                plan = self._plan(message, letter, variants, person, active.get(account))
            except StorageError:
                raise
            except Exception as error:  # a bug of ours is no reason to hold up anybody's mail
                event.bug("sieve", error, id=message.id)
                continue
            answer = _answer(message, plan)
            packed = wire.pack(wire.pack_verdict(answer, message)) if answer else b""
            if answer:
                said[account] = answer
            recipients[account] = Recipient(
                person.recipient.address, tuple(plan.places), person.quota, tuple(plan.remember), packed
            )
        return Sorted(recipients, tuple(variants.messages), said)

    def _plan(
        self, message: Message, letter: Octets, variants: Variants, person: Person, active: Active | None
    ) -> Plan:
        world = Surroundings(
            self._mailboxes,
            self._library,
            message,
            person,
            self._hostname,
            self._clock(),
            self._may_send_as,
            self._language,
        )
        planner = Planner(world, letter, variants, self._rules.sieve.sends_per_day)
        own, error = self._own(person.account, active)
        began = time.thread_time()
        ran = run((*self._rules.before, *own, *self._rules.after), letter, world, self._limits)
        if own:
            self._budget.spend(person.account, time.thread_time() - began)
        plan = planner.take(ran.actions, ran.remember)
        for link, why in ran.errors:
            event("script-failed", id=message.id, to=person.address, script=link.name, error=why)
            error = why if link.own else error
        for why in plan.trouble:
            event("script-failed", id=message.id, to=person.address, script=OWN, error=why)
        if error and active:
            self._tell(plan, letter, world, active, error)
        return plan

    def _own(self, account: int, active: Active | None) -> tuple[tuple[Link, ...], str]:
        """The account's script, or else why it is not run."""
        if active is None:
            return (), ""
        if self._budget.is_used_up(account):
            return (), "it has computed for too long within an hour"
        try:
            script = self._library.active(account, active)
        except ScriptError as error:
            return (), str(error)
        return ((Link(OWN, script, own=True),) if script else ()), ""

    def _tell(self, plan: Plan, letter: Octets, world: Surroundings, active: Active, error: str) -> None:
        """Tell the owner of a script that it does not work: once for each error of each version."""
        now = int(world.time * 1000)
        key = f"error\0{active.text.hex()}\0{error}"
        if world.times(key):
            return
        subject = next((letter.value(one) for one in letter.fields() if one.lower().startswith(b"subject:")), "")
        plan.sends.append(letters.trouble(world, error, subject[:SUBJECT]))
        plan.remember.append(Remembered(key, now + TOLD_AGAIN, seen=0))


def _answer(message: Message, plan: Plan) -> Said | None:
    """What `queue` hears if the message is delivered like this; None: that it was."""
    if plan.refusal:
        # A report would reach somebody whose address was taken.
        if message.fact("spf.result") == "fail":
            return Discard("refused by a script of the recipient's, and the sender is forged")
        return Reject(plan.refusal, log="by a script of the recipient's")
    if plan.sends:
        return Delivered(Outcome.DELIVERED.value if plan.places else "sent on by a script", sends=tuple(plan.sends))
    return None if plan.places else Discard("by a script of the recipient's")
