"""The stage `bulk_mail`: what mail to many must offer, and what it is given."""

from pathlib import Path

import pytest

from engine import Each, Envelope, Message, MessageId, Recipient, Reject
from engine.message import Octets
from engine.unsubscribe import ONE_CLICK, Link
from engine.unsubscribe.links import verify
from stages.bulk_mail import FACT, LACKS, BulkMail

URL = "https://mail.example.org/leave"
GOOD = f"List-Unsubscribe: <https://shop.test/u>\r\nList-Unsubscribe-Post: {ONE_CLICK}\r\n"
LIST = "List-Id: All of us <ALL.example.org>\r\n"
SIGNED = "DKIM-Signature: v=1; d=shop.test; h=from:list-unsubscribe:list-unsubscribe-post; b=x\r\n"


def letter(header: str = "", *to: str, sender: str = "news@example.org", **facts: str) -> Message:
    recipients = tuple(map(Recipient, to or ("ann@far.example",)))
    content = Octets(f"{header}From: news@example.org\r\nSubject: news\r\n\r\nnews\r\n".encode())
    return Message(MessageId.new(), Envelope(sender, recipients, arrived=1_796_000_000.0), content).with_facts(facts)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("horse\n")
    return path


MANY = tuple(f"u{number}@far.example" for number in range(3))


@pytest.mark.parametrize(
    ("message", "bulk"),
    [
        (letter("", *MANY), True),
        (letter("", *MANY[:2]), False),
        (letter(sender="News@Shop.Test"), True),
        (letter(sender="ann@lists.test"), True),
        (letter(sender=""), False),
        (letter(**{"tenant.name": "acme"}), True),
        (letter(**{"tenant.name": "other"}), False),
        (letter(LIST), True),
    ],
)
async def test_what_is_bulk(message: Message, bulk: bool) -> None:
    stage = BulkMail(do="refuse", recipients=3, senders=("news@shop.test", "lists.test"), tenants=("acme",))
    verdict = await stage(message)
    assert verdict == (LACKS["none"] if bulk else message)


@pytest.mark.parametrize(
    ("header", "lacks"),
    [
        (GOOD, ""),
        ("", "none"),
        ("List-Unsubscribe: <mailto:leave@shop.test>\r\n", "mail"),
        ("List-Unsubscribe: <http://shop.test/u>\r\n", "mail"),
        ("List-Unsubscribe: <https://shop.test/u>\r\n", "link"),
        (GOOD + GOOD, "none"),
    ],
)
async def test_what_is_lacking_is_noted_or_refused(header: str, lacks: str) -> None:
    message = letter(header + LIST)
    noted = await BulkMail()(message)
    assert isinstance(noted, Message)
    assert noted.fact(FACT) == (lacks or "one-click")
    refused = await BulkMail(do="refuse")(message)
    assert isinstance(refused, Reject) is bool(lacks)
    assert not lacks or refused == LACKS[lacks]


@pytest.mark.parametrize(("header", "good"), [(SIGNED + GOOD, True), (GOOD, False)])
async def test_the_signature_may_have_to_cover_it(header: str, good: bool) -> None:
    verdict = await BulkMail(do="refuse", signed=True)(letter(header + LIST))
    assert isinstance(verdict, Message) is good
    assert good or verdict == LACKS["unsigned"]


async def test_each_recipient_gets_a_link_of_its_own(secret: Path) -> None:
    stage = BulkMail(do="add", recipients=2, url=URL, secret_file=secret, list_id="news.example.org")
    verdict = await stage(letter("", "ann@far.example", "bob@far.example"))
    assert isinstance(verdict, Each)
    for address, message in verdict.verdicts.items():
        assert isinstance(message, Message)
        assert message.headers("List-Unsubscribe-Post") == [ONE_CLICK]
        assert message.headers("List-Id") == ["<news.example.org>"]
        (value,) = message.headers("List-Unsubscribe")
        token = value.removeprefix(f"<{URL}/").removesuffix(">")
        link = verify(token, [b"horse"], 1_796_000_000.0, 1.0)
        assert link == Link(address, "news.example.org", 1_796_000_000)
        assert message.content is verdict.verdicts["ann@far.example"].content  # type: ignore[union-attr]


async def test_what_is_there_and_is_not_enough_is_replaced_but_for_mail(secret: Path) -> None:
    stage = BulkMail(do="add", url=f"{URL}/", secret_file=secret)
    header = "List-Unsubscribe: <http://shop.test/u>,\r\n <mailto:leave@shop.test>\r\n" + LIST
    message = await stage(letter(header))
    assert isinstance(message, Message)
    (value,) = message.headers("List-Unsubscribe")
    ours, mail = value.split(", ")
    assert mail == "<mailto:leave@shop.test>"
    token = ours.removeprefix(f"<{URL}/").removesuffix(">")
    assert verify(token, [b"horse"], 1_796_000_000.0, 1.0).list == "all.example.org"
    assert len(message.headers("List-Id")) == 1
    other = await BulkMail(do="add", url=URL, secret_file=secret, mailto="leave@example.org")(letter(header))
    assert isinstance(other, Message)
    assert (other.header("List-Unsubscribe") or "").endswith("<mailto:leave@example.org?subject=unsubscribe>")
    octets = b"".join(message.chunks())
    assert octets.count(b"List-Unsubscribe:") == 1
    assert b"\r\n\r\nnews\r\n" in octets


@pytest.mark.parametrize("header", [GOOD, SIGNED, SIGNED + "List-Unsubscribe: <mailto:x@shop.test>\r\n"])
async def test_what_is_good_or_signed_is_left_alone(secret: Path, header: str) -> None:
    message = letter(header + LIST)
    found = await BulkMail(do="add", url=URL, secret_file=secret)(message)
    assert isinstance(found, Message)
    assert b"".join(found.chunks()) == b"".join(message.chunks())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"do": "add"}, "needs url and secret_file"),
        ({"url": "http://example.org/"}, "no page under https"),
        ({"list_id": "news"}, "no name of a list"),
        ({"mailto": "a b@example.org"}, "no address"),
        ({"recipients": 0}, "at least 1"),
        ({"secret_file": Path("/nowhere")}, "cannot read /nowhere"),
    ],
)
def test_what_is_wrong_with_settings(settings: dict[str, object], said: str) -> None:
    assert any(said in text for text in BulkMail.check(**settings))
