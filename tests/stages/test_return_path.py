"""The stage `return_path`: in whose name mail leaves; and what `route` makes of bounces that come back."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Each, Envelope, Message, MessageId, Recipient, Session
from engine.directory import Directory, Embedded
from engine.message import Octets
from engine.return_path import Batv, ReturnPaths, Srs
from engine.verdict import Route as To
from stages.return_path import ReturnPath
from stages.route import NO_SUCH_USER, NOT_OURS, Route, Rule

STRANGER, LOGIN, TRUSTED = (
    Session(peer="192.0.2.1"),
    Session(login="ann@example.org", trusted=True),
    Session(trusted=True),
)
ANN, FAR, OUTSIDE = "ann@example.org", "far@example.net", "someone@elsewhere.test"
SRS, BATV = Srs("example.org", (b"secret",), 21 * 86_400.0), Batv((b"other secret",), require=True)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Directory]:
    with Embedded.open(tmp_path / "directory", ["example.org", "second.test"]) as opened:
        opened.add_account(ANN)
        opened.add_account("list@example.org")
        opened.add_alias("anns@example.org", [ANN, FAR])
        opened.add_alias("out@example.org", [FAR])
        yield opened


@pytest.fixture
def returns() -> ReturnPaths:
    return ReturnPaths(SRS, BATV)


@pytest.fixture
def route(directory: Directory, returns: ReturnPaths) -> Route:
    return Route(directory, returns, rules=(Rule(to="local", lane="local"), Rule(to="*", lane="remote")))


async def senders(directory: Directory, returns: ReturnPaths, message: Message) -> dict[str, str]:
    """The sender with which it goes on, for each recipient."""
    verdict = await ReturnPath(directory, returns)(message)
    if isinstance(verdict, Message):
        verdict = Each(dict.fromkeys(message.recipients, verdict))
    assert isinstance(verdict, Each)
    found = {recipient: verdict.verdicts.get(recipient, message) for recipient in message.recipients}
    assert len({id(one) for one in found.values()}) == len({one.sender for one in found.values()}), "they go together"
    return {recipient: one.sender for recipient, one in found.items()}


def letter(sender: str, *recipients: Recipient, session: Session = STRANGER) -> Message:
    return Message(MessageId.new(), Envelope(sender, recipients, session), Octets(b"Subject: hello\r\n\r\nhello\r\n"))


def opened(address: str) -> str | None:
    return SRS.reverse(address, time.time()) or BATV.open(address, time.time())


async def test_what_an_alias_sends_outside_goes_on_from_an_address_of_ours(directory, returns) -> None:
    found = await senders(directory, returns, letter(OUTSIDE, Recipient(FAR), Recipient("x@other.test")))
    (sender,) = set(found.values())
    assert sender.startswith("SRS0=")
    assert sender.endswith("=elsewhere.test=someone@example.org")
    assert opened(sender) == OUTSIDE


@pytest.mark.parametrize("session", [LOGIN, TRUSTED])
async def test_what_was_sent_there_by_one_who_may_goes_on_as_it_is(directory, returns, session) -> None:
    direct, asked = Recipient("x@other.test"), Recipient("y@other.test", original="rfc822;Y@other.test")
    forwarded = Recipient(FAR, original="rfc822;out@example.org")
    found = await senders(directory, returns, letter(OUTSIDE, direct, forwarded, asked, session=session))
    assert opened(found.pop(FAR)) == OUTSIDE
    assert set(found.values()) == {OUTSIDE}


@pytest.mark.parametrize(("session", "signed"), [(STRANGER, False), (LOGIN, True), (TRUSTED, True)])
async def test_our_own_is_signed_and_never_rewritten(directory, returns, session, signed) -> None:
    found = await senders(directory, returns, letter(ANN, Recipient(FAR), session=session))
    assert (found[FAR].startswith("prvs="), opened(found[FAR])) == ((True, ANN) if signed else (False, None))


@pytest.mark.parametrize("sender", ["", ANN, OUTSIDE])
async def test_nothing_happens_where_nothing_was_said(directory, sender) -> None:
    message = letter(sender, Recipient(FAR), session=STRANGER)
    assert await ReturnPath(directory, ReturnPaths())(message) is message
    bounce = letter("", Recipient(FAR))
    assert await ReturnPath(directory, ReturnPaths(SRS, BATV))(bounce) is bounce


async def test_a_bounce_goes_on_to_whom_the_address_stands_for(route) -> None:
    back = SRS.forward(OUTSIDE, time.time())
    assert route.at_recipient(STRANGER, "", back) is None
    assert await route(letter("", Recipient(back))) == Each({back: To("remote", (OUTSIDE,))})
    tagged = BATV.sign("Ann+shop@example.org", time.time())
    assert route.at_recipient(STRANGER, "", tagged) is None
    assert await route(letter("", Recipient(tagged))) == Each({tagged: To("local", (ANN,))})


@pytest.mark.parametrize(
    "address",
    [
        "SRS0=abcd=7H=elsewhere.test=someone@example.org",
        SRS.forward(OUTSIDE, time.time()).replace("example.org", "second.test"),
        SRS.forward(OUTSIDE, time.time() - 30 * 86_400.0),
        "prvs=0462000000=ann@example.org",
        BATV.sign(ANN, time.time() - 10 * 86_400.0),
        BATV.sign("nobody@example.org", time.time()),
    ],
)
@pytest.mark.parametrize("sender", ["", OUTSIDE])
async def test_a_forged_or_old_one_is_nobody(route, sender, address) -> None:
    assert route.at_recipient(STRANGER, sender, address) == NO_SUCH_USER
    assert await route(letter(sender, Recipient(address))) == NO_SUCH_USER


async def test_others_tags_are_theirs(route) -> None:
    for address in ("prvs=0462000000=x@other.test", "SRS0=abcd=7H=elsewhere.test=someone@other.test"):
        assert await route(letter(ANN, Recipient(address), session=LOGIN)) == To("remote")


@pytest.mark.parametrize(
    ("sender", "recipient", "session", "refused"),
    [
        ("", ANN, STRANGER, True),
        ("", "Ann+shop@Example.ORG", STRANGER, True),
        ("", "anns@example.org", STRANGER, True),
        ("", "out@example.org", STRANGER, False),  # nobody sends in its name
        ("", "list@example.org", STRANGER, False),
        ("", "postmaster@example.org", STRANGER, False),
        ("", "postmaster", STRANGER, False),
        ("", FAR, STRANGER, False),
        ("", ANN, LOGIN, False),
        ("", ANN, TRUSTED, False),
        (OUTSIDE, ANN, STRANGER, False),
    ],
)
async def test_a_bounce_of_what_was_never_sent_is_refused(route, sender, recipient, session, refused) -> None:
    route.returns.batv = Batv((b"other secret",), True, frozenset({"list@example.org"}))
    assert route.at_recipient(session, sender, recipient) == (NOT_OURS if refused else None)
    route.returns.batv = Batv((b"other secret",))
    assert route.at_recipient(session, sender, recipient) is None
