"""One client's session, from the greeting to its end."""

import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio
from msgspec.structs import replace

from engine import Defer, Delivered, Discard, Each, Envelope, Message, MessageId, Recipient, Reject, Verdict
from engine import Session as Facts
from engine.authentication.author import agents, authors
from engine.authentication.fields import Fields, split_message
from engine.deadline import Deadline
from engine.directory import Unavailable, asked
from engine.history import history
from engine.history.entries import TurnedAway
from engine.login import Excess, Sender
from engine.message import Content as MessageContent
from engine.message import Octets
from engine.net.connection import Connection
from engine.net.targets import address_of
from engine.observe.events import event
from engine.observe.measures import Counter
from engine.protocols.scram import Keys
from engine.protocols.smtp_events import (
    NEED_DATA,
    Auth,
    Content,
    ContentBegin,
    ContentEnd,
    ContentPart,
    Disconnected,
    Hello,
    Mail,
    Quit,
    Rcpt,
    Reset,
    StartTls,
    TooManyErrors,
)
from engine.queue.incoming import ContentWriter
from stages.accept.terms import Terms

_OF_SPACE = {"4.3.1": 452, "4.2.2": 452, "5.2.2": 552}
"""Enhanced codes that have a reply code of their own (RFC 5321 4.2.3): no room on the disk, in a mailbox, for good."""

_NOT_RELAYED = Counter("postroad_relay_refusals_total", "Recipients elsewhere, of clients who may not relay.")

_UNKNOWN = "5.1.1"
"""The enhanced code of recipients that there are not (RFC 3463 3.2)."""

SHUTTING_DOWN = "Shutting down, come again"

_LAST_WORDS = 2.0
"""Seconds that a client gets to take our last reply: one that reads nothing must not keep its connection."""


@dataclass
class _Transaction:
    """What has been said since MAIL."""

    mail: Mail
    facts: Facts
    sender: Sender | None  # who is counted for it
    prober: Sender | None  # who is counted for recipients that there are not
    forwarded: Mapping[str, str]  # what XFORWARD said of it
    recipients: list[Recipient] = field(default_factory=list)
    identity: MessageId | None = None
    content: ContentWriter | None = None
    failed: str = ""  # why the content cannot be kept


class Session:
    """One client's connection."""

    def __init__(self, terms: Terms, connection: Connection, peer: str, trusted: bool) -> None:
        self._terms = terms
        self._connection = connection
        self._smtp = terms.conversation(connection, trusted=trusted)
        self._peer = peer
        self._visitor = terms.logins.visitor("smtp", peer)
        self._trusted = trusted
        self._transaction: _Transaction | None = None
        self._deadline = Deadline(terms.watch)
        self._latest = math.inf  # the end of a message's time
        self._idle = False
        self._submitted = False
        self._early = False  # it spoke before its time
        self._sent_away = ""  # why it may not be in any more
        # Errors up to which replies are not held up.
        self._forgiven = terms.tarpit_after if terms.tarpit and not trusted else math.inf

    async def run(self, crowded: str) -> None:
        """From the greeting to the goodbye. ConnectionLost."""
        smtp = self._smtp
        with self._deadline:
            await self._greet(crowded)
            while True:
                said = smtp.next_event()
                if said is NEED_DATA:
                    smtp.receive(await self._turn(smtp.outgoing()))
                elif (answer := _ANSWERS[type(said)]) is not None:
                    await answer(self, said)
                else:
                    break
        if self._deadline.cut_off:
            await self._close_late()
        with trio.move_on_after(_LAST_WORDS):
            await self._flush()
        await self._connection.close_gently()

    async def _greet(self, crowded: str) -> None:
        if crowded:
            event("connection-refused", peer=self._peer, why=crowded)
            self._smtp.close("4.3.2", crowded)
            return
        if not self._terms.admits(self._peer):
            event("connection-refused", peer=self._peer, why="Not among the clients")
            self._smtp.refuse(554, "5.7.1", "This server is not for you")
            return
        if not await self._waits_for_greeting():
            return
        refusal = await self._terms.door.at_connect(self._facts())
        if refusal is None:
            self._smtp.greet()
        else:
            self._smtp.refuse(554 if isinstance(refusal, Reject) else 421, refusal.code, refusal.text)

    async def _waits_for_greeting(self) -> bool:
        """Whether the client may be greeted: one that does not wait for it is told to go, if that is wanted."""
        terms = self._terms
        if self._is_exempt or self._connection.tls or not (delay := terms.newcomers.delay(self._peer)):
            return True
        if terms.greet_teaser:
            self._smtp.tease(terms.greet_teaser)
            await self._flush()
        self._idle = True
        is_early = await self._connection.speaks_within(delay)
        self._idle = False
        if not is_early:
            terms.newcomers.has_waited(self._peer)
            return True
        self._note_early("the greeting")
        if terms.early_talker == "refuse":
            self._smtp.refuse(554, "5.5.1", "You spoke before you were greeted")
        return terms.early_talker == "note"

    def _note_early(self, before: str) -> None:
        if not self._early:
            event("early-talker", peer=self._peer, before=before)
        self._early = True

    @property
    def _is_exempt(self) -> bool:
        """Whether it is nobody from outside."""
        return self._trusted or bool(self._smtp.login) or self._terms.protocol == "lmtp"

    async def _close_late(self) -> None:
        if self._terms.draining:
            self._smtp.close("4.3.2", SHUTTING_DOWN)
        elif self._sent_away:
            self._smtp.close("4.7.0", f"You are logged out: {self._sent_away}")
        else:
            event("client-too-slow", peer=self._peer)
            self._smtp.close("4.4.2", "Too slow, goodbye")
        self.forget()

    async def _flush(self) -> None:
        octets = self._smtp.outgoing()
        if octets:
            self._allow_time()
            await self._connection.send(octets)

    def _allow_time(self) -> None:
        """The client has the time of a command from now on, but not more than a message may take."""
        self._deadline.allow(self._terms.command_timeout, self._latest)

    async def _turn(self, replies: bytes) -> bytes:
        """Say what there is to say; then the next octets, before the deadline, and not once we are to stop.

        Between messages the deadline stands since our last reply: octets that trickle in buy no time.
        """
        between = self._transaction is None
        if replies or not between:
            self._allow_time()
        if replies:
            if self._smtp.errors > self._forgiven:
                await self._hold_up(between)
            await self._connection.send(replies)
        if between and (self._terms.draining or self._sent_away):
            self._deadline.pass_by()
        self._idle = between
        octets = await self._connection.receive()
        self._idle = False
        return octets

    async def _hold_up(self, between: bool) -> None:
        """Make who goes on making errors wait for the reply."""
        self._forgiven = self._smtp.errors
        if not self._is_exempt:
            self._idle = between
            await self._terms.pit.hold(self._smtp.errors)
            self._allow_time()

    def nudge(self) -> None:
        """We are to stop: end it now if nothing is under way."""
        if self._idle:
            self._deadline.pass_by()

    def cut(self) -> None:
        """End it now, unless a whole message waits for its verdict: the queue may hold it already."""
        if not self._submitted:
            self._deadline.pass_by()

    def _send_away(self, why: str) -> None:
        """Whoever has logged in may not be in any more."""
        self._sent_away = why
        self.cut()

    def end(self) -> None:
        """It is over."""
        self.forget()
        self._visitor.leave()

    def forget(self) -> None:
        """Drop the transaction, and what it has written."""
        if self._transaction is not None and self._transaction.content is not None:
            self._transaction.content.discard()
        self._transaction = None
        self._latest = math.inf

    def _facts(self) -> Facts:
        smtp = self._smtp
        return Facts(
            peer=self._peer,
            helo=smtp.hello,
            protocol=smtp.protocol,
            tls=self._connection.tls,
            login=smtp.login,
            trusted=self._trusted or bool(smtp.login),
        )

    # -- what the client said

    async def _hello(self, _: Hello) -> None:
        self.forget()

    async def _reset(self, said: Reset) -> None:
        if said.reply and (transaction := self._transaction) is not None:
            event("refused", peer=self._peer, **{"from": transaction.mail.sender}, text=said.reply)
            to = [recipient.address for recipient in transaction.recipients]
            self._note_turned_away(transaction.facts, transaction.mail.sender, to, Reject(said.reply, ""))
        self.forget()

    async def _start_tls(self, _: StartTls) -> None:
        await self._flush()
        context = self._terms.tls.offered(people=self._terms.people)
        assert context is not None
        await self._connection.start_tls(context, server_side=True)
        self._smtp.tls_started(self._connection.channel)
        self._allow_time()
        self.forget()

    async def _auth(self, said: Auth) -> None:
        try:
            answer = await self._visitor.answer(said.question)
        except Unavailable as error:
            event("login-unavailable", peer=self._peer, error=str(error))
            self._smtp.refuse(454, "4.7.0", "Logins are not possible at the moment")
            return
        if isinstance(answer, Keys):
            self._smtp.take_keys(answer)
        elif answer is not None:
            self._smtp.authenticated(answer.address)
            self._visitor.stay(self._send_away)
        else:
            self._smtp.refuse(535, "5.7.8", "Wrong user name or password", counts=True)

    async def _mail(self, said: Mail) -> None:
        if self._terms.draining:
            self._smtp.close("4.3.2", SHUTTING_DOWN)
            return
        if not self._terms.door.has_room():
            self._smtp.refuse(452, "4.3.1", "Not enough disk space, try again later")
            return
        if self._terms.login == "required" and not await self._may_submit(said.sender):
            return
        if self._smtp.hasty and not self._may_be_hasty():
            return
        facts = self._facts()
        prober = self._terms.prober(facts)
        if prober is not None and not await self._is_within(prober, self._terms.rates.excess, recipients=1):
            return
        sender = self._terms.counted(facts)
        if not await self._is_within(sender, self._terms.rates.excess, recipients=1):
            return
        refusal = await self._terms.door.at_sender(facts, said.sender)
        if refusal is not None:
            self._note_turned_away(facts, said.sender, (), refusal)
            self._refuse(refusal)
            return
        self._transaction = _Transaction(said, facts, sender, prober, self._smtp.forwarded)
        self._latest = trio.current_time() + self._terms.message_timeout
        self._smtp.accept()

    def _may_be_hasty(self) -> bool:
        """Whether a client that sent commands before it had our replies may go on; else it has been told why not."""
        if self._is_exempt:
            return True
        self._note_early("the reply to HELO")
        if self._terms.early_talker == "refuse":
            self._smtp.refuse(554, "5.5.1", "You sent commands before you had our replies (RFC 2920 3.1)", counts=True)
        return self._terms.early_talker == "note"

    async def _may_submit(self, sender: str) -> bool:
        """Whether the client may send in this name; otherwise it has been told why not. ``relay_networks`` may."""
        login = self._smtp.login
        if not login:
            if not self._trusted:
                first = "" if self._smtp.tls_active else "STARTTLS comes first, then "
                self._smtp.refuse(530, "5.7.0", f"{first}AUTH: this is for those who have an account", counts=True)
            return self._trusted
        try:
            # On behalf of others: bounces go to who is away. That Sender says who it was is asked behind the content.
            allowed = await self._terms.may_send_as(login, sender) or (
                await self._terms.may_send_on_behalf(login, sender)
            )
        except Unavailable as error:
            event("login-unavailable", peer=self._peer, error=str(error))
            self._smtp.refuse(451, "4.3.0", "Local trouble, please try again later")
            return False
        if not allowed:
            event("sender-refused", peer=self._peer, login=login, **{"from": sender})
            self._smtp.refuse(553, "5.7.1", f"{login} may not send as {sender}", counts=True)
        return allowed

    async def _agent(self, login: str, content: MessageContent) -> str | None:
        """Who is to be named in Sender, as the account may write on behalf of the author alone; empty: nobody.

        None: it may not have written what it sends, and the client has been told why not.
        """
        if not login or self._terms.login != "required" or self._terms.senders != "own":
            return ""
        fields, _ = split_message(content.chunks())
        try:
            if fields.flaw:
                raise ValueError(fields.flaw)  # readers may find another From than we
            return await self._agent_of(login, fields)
        except ValueError as flaw:
            self._smtp.refuse(550, "5.6.0", str(flaw), counts=True)
        except Unavailable as error:
            event("login-unavailable", peer=self._peer, error=str(error))
            self._smtp.refuse(451, "4.3.0", "Local trouble, please try again later")
        return None

    async def _agent_of(self, login: str, fields: Fields) -> str | None:
        """As ``_agent``. Unavailable; ValueError: nobody can say who wrote it, or has sent it."""
        others = [one for one in map(str, authors(fields)) if not await self._terms.may_send_as(login, one)]
        for author in others:
            if not await self._terms.may_send_on_behalf(login, author):
                self._refuse_author(login, author, "From")
                return None
        if not others:
            return ""
        named = list(map(str, agents(fields)))
        if not named and not fields.named("sender"):
            return login
        if len(named) != 1 or len(fields.named("sender")) != 1:
            raise ValueError("Sender must name one address (RFC 5322 3.6.2)")
        if not await self._terms.may_send_as(login, named[0]):
            self._refuse_author(login, named[0], "Sender")
            return None
        return ""

    def _refuse_author(self, login: str, author: str, field: str) -> None:
        event("author-refused", peer=self._peer, login=login, author=author)
        self._smtp.refuse(550, "5.7.1", f"{login} may not write as {author}, whom {field} names", counts=True)

    async def _is_within(
        self, sender: Sender | None, weigh: Callable[[Sender, int], Excess | None], *, recipients: int
    ) -> bool:
        """Whether a message to so many is within the rates; otherwise the client has been told why not."""
        if sender is None:
            return True
        try:
            excess = await trio.to_thread.run_sync(weigh, sender, recipients)
        except Unavailable as error:
            event("rate-unknown", peer=self._peer, error=str(error))
            self._smtp.refuse(451, "4.3.0", "Local trouble, please try again later")
            return False
        if excess is None:
            return True
        if excess.is_news:
            who = {sender.kind: sender.name}
            event(
                "limited", peer=self._peer, address=who.get("account"), network=who.get("network"), what=excess.what,
                rate=excess.rate, until=round(excess.until),
            )  # fmt: skip
        self._smtp.refuse(450, "4.7.1", str(excess))
        return False

    async def _rcpt(self, said: Rcpt) -> None:
        transaction = self._transaction
        assert transaction is not None
        refusal = await self._recipient_refusal(said.recipient)
        if refusal is not None:
            self._note_refusal(transaction, said.recipient, refusal)
            self._note_turned_away(transaction.facts, transaction.mail.sender, (said.recipient,), refusal)
            if refusal.code != _UNKNOWN or await self._may_try_on(transaction.prober):
                # Who is told to come again has done nothing wrong.
                self._refuse(refusal, counts=isinstance(refusal, Reject))
            return
        count = len(transaction.recipients) + 1
        if count > 1 and not await self._is_within(transaction.sender, self._terms.rates.excess, recipients=count):
            return
        transaction.recipients.append(Recipient(said.recipient, said.notify, said.original))
        self._smtp.accept()

    async def _may_try_on(self, prober: Sender | None) -> bool:
        """Count a recipient that there is not. Whether the client may try others; else it has been told to go."""
        within = await self._is_within(prober, self._terms.rates.take, recipients=1)
        if not within:  # those that there are would still be told from those that there are not
            self._smtp.close("4.7.1", "Too many unknown recipients, come again later")
        return within

    async def _recipient_refusal(self, recipient: str) -> Reject | Defer | None:
        assert self._transaction is not None
        local, at, domain = recipient.rpartition("@")
        try:
            is_local = not at or await asked(self._terms.directory, self._terms.directory.is_local, domain)
        except Unavailable as error:
            return Defer("Local trouble, please try again later", "4.3.0", log=str(error))
        if not is_local:
            if not (self._trusted or self._smtp.login):
                _NOT_RELAYED.of().value += 1
                return Reject(f"Relaying to {domain} is not permitted", "5.7.1")
            if "%" in local or "!" in local or "@" in local:
                # Source routes in disguise: the next server might take them for an order to relay.
                return Reject("This form of address is not relayed", "5.1.3")
        return await self._terms.door.at_recipient(self._transaction.facts, self._transaction.mail.sender, recipient)

    async def _begin(self, _: ContentBegin) -> None:
        transaction = self._transaction
        assert transaction is not None
        if not self._terms.door.has_room():
            self._smtp.refuse(452, "4.3.1", "Not enough disk space, try again later")
            return
        transaction.identity = MessageId.new()
        self._smtp.accept()

    async def _part(self, said: ContentPart) -> None:
        transaction = self._transaction
        assert transaction is not None
        assert transaction.identity is not None
        if transaction.failed:
            return  # the rest is read and dropped; the refusal comes at the end
        try:
            if transaction.content is None:
                transaction.content = self._terms.door.content(transaction.identity)
            transaction.content.write(said.data)
        except OSError as error:
            self._cannot_keep(transaction, error)

    async def _whole(self, said: Content) -> None:
        assert self._transaction is not None
        await self._submit(self._transaction, Octets(said.data))

    async def _end(self, _: ContentEnd) -> None:
        transaction = self._transaction
        assert transaction is not None
        if transaction.content is not None and not transaction.failed:
            try:
                content = await transaction.content.finish()
            except OSError as error:
                self._cannot_keep(transaction, error)
            else:
                await self._submit(transaction, content)
                return
        self._smtp.refuse(452, "4.3.1", "The message cannot be stored now, try again later")
        self.forget()

    @staticmethod
    def _cannot_keep(transaction: _Transaction, error: OSError) -> None:
        event("content-failed", error=error.strerror or str(error))
        transaction.failed = str(error)
        if transaction.content is not None:
            transaction.content.discard()

    async def _submit(self, transaction: _Transaction, content: MessageContent) -> None:
        assert transaction.identity is not None
        agent = await self._agent(transaction.facts.login, content)
        if agent is None:
            self.forget()
            return
        if not await self._is_within(
            transaction.sender, self._terms.rates.take, recipients=len(transaction.recipients)
        ):
            self.forget()  # another session has used up what there was
            return
        message = self._message(transaction, transaction.identity, content, agent)
        # From here on the message is no longer ours to drop, nor its time ours to keep: a client that hangs up now,
        # or a worker that is told to end, must not take away content that the queue may already hold.
        writer, transaction.content = transaction.content, None
        self._deadline.lift()
        self._submitted = True
        separately = self._terms.protocol == "lmtp"
        verdict = await self._terms.door.submit(message, separately=separately)
        self._submitted = False
        recipients = message.envelope.recipients
        verdicts = [_of_one(verdict, recipient.address) for recipient in recipients] if separately else [verdict]
        if writer is not None and not any(isinstance(one, Delivered) for one in verdicts):
            writer.discard()
        for one, recipient in zip(verdicts, recipients, strict=False):
            if isinstance(verdict, Each) and isinstance(one, Reject | Defer):
                self._note_refusal(transaction, recipient.address, one)
            self._answer(one, transaction.identity)
        self.forget()

    def _message(self, transaction: _Transaction, identity: MessageId, content: MessageContent, agent: str) -> Message:
        mail, facts, recipients = transaction.mail, transaction.facts, tuple(transaction.recipients)
        arrived = time.time()
        envelope = Envelope(
            sender=mail.sender,
            recipients=recipients,
            session=_origin(facts, transaction.forwarded),
            prepended=self._terms.received(facts, recipients, identity, arrived, mail.timing.priority)
            + self._terms.lacking(content, identity, arrived)
            + (f"Sender: {agent}\r\n".encode() if agent else b""),
            arrived=arrived,
            smtputf8=mail.smtputf8,
            body=mail.body,
            ret=mail.ret,
            envid=mail.envid,
            requiretls=mail.requiretls,
            timing=mail.timing,
        )
        message = Message(identity, envelope, content)
        return message.with_fact("door.early_talker", True) if self._early else message

    def _note_refusal(self, transaction: _Transaction, recipient: str, refusal: Reject | Defer) -> None:
        event(
            "recipient-refused", peer=self._peer, to=recipient, **{"from": transaction.mail.sender}, code=refusal.code,
            text=refusal.text,
        )  # fmt: skip

    @staticmethod
    def _note_turned_away(facts: Facts, sender: str, to: Sequence[str], refusal: Reject | Defer) -> None:
        if history.refusals:
            client, why = (facts.peer, facts.helo, facts.login), (refusal.code, refusal.text, refusal.log)
            history(TurnedAway(b"", time.time(), *client, sender, tuple(to), *why))

    def _answer(self, verdict: Verdict, identity: MessageId) -> None:
        if isinstance(verdict, Delivered):
            self._smtp.accept(verdict.reply, one=True)
        elif isinstance(verdict, Discard):
            self._smtp.accept(f"queued as {identity}", one=True)  # what vanishes must not be told from what does not
        elif isinstance(verdict, Reject | Defer):
            self._refuse(verdict, one=True)
        else:
            self._refuse(Defer("Local trouble, please try again later"), one=True)

    def _refuse(self, verdict: Reject | Defer, *, counts: bool = False, one: bool = False) -> None:
        if isinstance(verdict, Reject):
            enhanced = verdict.code if verdict.code.startswith("5.") else "5.7.1"
            code = 550
        else:
            enhanced = verdict.code if verdict.code.startswith("4.") else "4.3.0"
            code = 451
        self._smtp.refuse(_OF_SPACE.get(enhanced, code), enhanced, verdict.text, counts=counts, one=one)


def _origin(facts: Facts, forwarded: Mapping[str, str]) -> Facts:
    """The session by which a filter's own client had the message; that of the filter, as far as it does not say."""
    if not forwarded:
        return facts
    peer = forwarded.get("ADDR", "")
    try:
        peer = str(address_of(peer[5:] if peer.upper().startswith("IPV6:") else peer))
    except ValueError:
        peer = facts.peer
    return replace(facts, peer=peer, helo=forwarded.get("HELO") or facts.helo)


def _of_one(verdict: Verdict, recipient: str) -> Verdict:
    found = verdict.verdicts[recipient] if isinstance(verdict, Each) else verdict
    assert not isinstance(found, tuple), "routes are no answer"
    return found


_ANSWERS: dict[type, Callable[[Session, Any], Awaitable[None]] | None] = {
    Hello: Session._hello,
    Reset: Session._reset,
    StartTls: Session._start_tls,
    Auth: Session._auth,
    Mail: Session._mail,
    Rcpt: Session._rcpt,
    ContentBegin: Session._begin,
    Content: Session._whole,
    ContentPart: Session._part,
    ContentEnd: Session._end,
    **dict.fromkeys((Quit, Disconnected, TooManyErrors)),  # the end
}
