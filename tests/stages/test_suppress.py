"""The stage `suppress`: who is refused at RCPT and behind the queue, and with what words."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import Defer, Each, Envelope, Message, MessageId, Recipient, Reject, Session
from engine.directory import Unavailable
from engine.message import TENANT, Fact, Octets
from engine.runtime.undelivered import SUPPRESSED
from engine.suppression import Row, Suppressions
from stages.suppress import Suppress

ANN, BOB, CAT = "ann@example.org", "bob@example.net", "cat@example.net"
CLIENT = Session(peer="192.0.2.7")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Suppressions]:
    with Suppressions.open(tmp_path) as opened:
        yield opened


@pytest.fixture
def stage(store: Suppressions) -> Suppress:
    return Suppress(store)


def letter(*to: str, sender: str = ANN, facts: dict[str, Fact] | None = None) -> Message:
    recipients = tuple(map(Recipient, to))
    return Message(MessageId.new(), Envelope(sender, recipients, CLIENT, facts or {}), Octets(b"Subject: x\r\n\r\n"))


async def test_nobody_is_on_the_list(stage: Suppress) -> None:
    message = letter(BOB)
    assert await stage(message) is message
    assert stage.at_recipient(CLIENT, ANN, BOB) is None


@pytest.mark.parametrize(
    ("which", "code", "text"),
    [
        ("invalid-recipient", "5.1.1", "its server has said that there is no such mailbox"),
        ("invalid-domain", "5.1.2", "mail to it could not be delivered"),
        ("inactive-mailbox", "5.2.1", "its server has said that the mailbox is not used any more"),
        ("complaint", "5.7.1", "the recipient has called mail of ours spam"),
        ("unsubscribe", "5.7.1", "the recipient has unsubscribed"),
        ("policy", "5.7.1", "mail to it could not be delivered"),
    ],
)
async def test_the_reply_says_why(stage: Suppress, store: Suppressions, which: str, code: str, text: str) -> None:
    store.put([Row(BOB, which, note="secret note")])
    refused = stage.at_recipient(CLIENT, ANN, BOB)
    assert refused == await stage(letter(BOB))
    assert isinstance(refused, Reject)
    assert (refused.code, refused.text) == (code, f"{BOB} is on the suppression list: {text}")
    assert refused.log == f"{SUPPRESSED}{which} {BOB}"  # by which the bounce log knows it


async def test_the_others_get_it(stage: Suppress, store: Suppressions) -> None:
    store.put([Row("example.net", "policy")])
    verdict = await stage(letter(BOB, "dan@example.com", CAT))
    assert isinstance(verdict, Each)
    assert verdict.verdicts.keys() == {BOB, CAT}


async def test_a_tenant_has_a_list_of_its_own(stage: Suppress, store: Suppressions) -> None:
    store.put([Row(BOB, "unsubscribe", "acme")])
    assert stage.at_recipient(CLIENT, ANN, BOB) is None
    assert isinstance(await stage(letter(BOB, facts={TENANT: "acme"})), Reject)
    other = letter(BOB, facts={TENANT: "other"})
    assert await stage(other) is other


async def test_classes_that_do_not_count_in_this_lane(store: Suppressions) -> None:
    stage = Suppress(store, ignore=("unsubscribe",))
    store.put([Row(BOB, "unsubscribe"), Row(CAT, "complaint")])
    assert stage.at_recipient(CLIENT, ANN, BOB) is None
    assert stage.at_recipient(CLIENT, ANN, CAT) is not None
    assert list(Suppress.check(ignore=("unsubscribe", "spamm"))) == ["ignore: there is no class spamm"]


async def test_reports_pass(stage: Suppress, store: Suppressions) -> None:
    store.put([Row(BOB, "complaint")])
    message = letter(BOB, sender="")
    assert await stage(message) is message
    assert stage.at_recipient(CLIENT, "", BOB) is None


async def test_a_list_that_cannot_be_read_has_mail_wait(stage: Suppress, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(address: str, tenant: str = "") -> None:
        raise Unavailable("no space left on device")

    monkeypatch.setattr(stage.suppressions, "says", broken)
    assert stage.at_recipient(CLIENT, ANN, BOB) is None
    verdict = await stage(letter(BOB))
    assert isinstance(verdict, Defer)
    assert (verdict.code, verdict.log) == ("4.3.0", "no space left on device")
