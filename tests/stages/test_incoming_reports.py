"""The stage `incoming_reports`: reports on TLS are kept, complaints tied to whom they are about."""

import json
import re
import time
from pathlib import Path

import pytest

from engine import Discard, Each, Envelope, Message, MessageId, Recipient
from engine.directory import Embedded
from engine.message import Octets
from engine.reports.inbox import Inbox, ReportStore
from engine.return_path import ReturnPaths, Verp
from engine.return_path.hearing import Complaint, Hearing
from engine.unsubscribe import Link
from engine.unsubscribe.links import sign
from stages.incoming_reports import IncomingReports
from tests.feedback import complaint_samples as samples
from tests.reports.tls_samples import GOOGLE, as_mail

VERP = Verp("bounces@example.org", (b"secret",), 21 * 86_400.0, frozenset({"example.org"}))
FBL, TLS, BOB = "fbl@example.org", "tls@example.org", "bob@far.example"
READ = Discard("a report that was read")
SENT = MessageId.new()
TODAY = {
    "start-datetime": time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime(time.time() - 86_400)),
    "end-datetime": time.strftime("%Y-%m-%dT23:59:59Z", time.gmtime(time.time() - 86_400)),
}


def message(octets: bytes, *to: str, passed: list[str] | None = None) -> Message:
    recipients = tuple(map(Recipient, to))
    made = Message(MessageId.new(), Envelope("", recipients, arrived=time.time()), Octets(octets))
    return made if passed is None else made.with_fact("dkim.passed", passed)


class World:
    """A stage, and what comes of it."""

    def __init__(self, folder: Path) -> None:
        self.heard: list[Complaint] = []
        self.folder = folder
        self.secrets = folder / "links"
        self.secrets.write_text("a long secret\n")
        self.directory = Embedded.open(folder / "directory", ["example.org"])
        self.inbox = Inbox(folder)

    def stage(self, verp: Verp | None = None, **settings: object) -> IncomingReports:
        async def hear(complaint: Complaint) -> None:
            self.heard.append(complaint)

        wanted = {"tls": (TLS,), "complaints": (FBL,), "link_secrets": self.secrets} | settings
        hearing = Hearing(complainers=[hear])
        return IncomingReports(ReturnPaths(verp=verp), hearing, self.inbox, self.directory, **wanted)  # type: ignore[arg-type]


@pytest.fixture
def world(tmp_path: Path):
    made = World(tmp_path)
    yield made
    made.inbox.close()
    made.directory.close()


def events(capfd: pytest.CaptureFixture[str], name: str) -> list[dict]:
    lines = (json.loads(line) for line in capfd.readouterr().err.splitlines())
    return [line for line in lines if line["event"] == name]


async def test_other_mail_passes(world: World) -> None:
    about = message(samples.YAHOO, "ann@example.org", "fbl+x@example.org")
    assert await world.stage()(about) is about
    assert world.heard == []


async def test_a_provider_is_believed_by_its_signature(world: World, capfd) -> None:
    about = message(samples.YAHOO, "FBL@Example.ORG", passed=["arf.mail.yahoo.com"])
    assert await world.stage()(about) == Each({"FBL@Example.ORG": READ})
    (heard,) = world.heard
    assert heard == Complaint(
        "abuse", BOB, True, "01KAV3Q6ZJ8N4R7T2W5X9Y0ABC", 0.0, "Yahoo!-Mail-Feedback/2.0", "", "<1@example.org>"
    )
    (told,) = events(capfd, "complaint")
    assert (told["recipient"], told["by"], told["form"]) == (BOB, "reporter", "arf")


@pytest.mark.parametrize(
    ("passed", "reporters", "proven"),
    [
        (None, None, False),
        ([], None, False),
        (["evil.example"], None, False),
        (["notyahoo.com"], None, False),
        (["yahoo.com.evil.example"], None, False),
        (["Far.Example"], ("far.example",), True),
        (None, ("*",), True),
    ],
)
async def test_who_is_believed(world: World, passed, reporters, proven: bool) -> None:
    stage = world.stage(**({"reporters": reporters} if reporters else {}))
    await stage(message(samples.YAHOO, FBL, passed=passed))
    (heard,) = world.heard
    assert (heard.recipient, heard.proven) == (BOB, proven)


@pytest.mark.parametrize(
    "octets",
    [
        samples.arf(
            f"Feedback-Type: abuse\nOriginal-Mail-From: <{VERP.sign(SENT, BOB)}>\n", samples.copied("redacted")
        ),
        samples.arf("Feedback-Type: abuse\n", samples.copied("x", Return_Path=f"<{VERP.sign(SENT, BOB)}>")),
        samples.arf(
            "Feedback-Type: abuse\nOriginal-Rcpt-To: eve@far.example\n",
            samples.copied(more=f"Authentication-Results: x; spf=pass smtp.mailfrom={VERP.sign(SENT, BOB)};"),
        ),
        samples.attached(
            samples.copied(X_HmXmrOriginalRecipient="eve@far.example", X_SID=VERP.sign(SENT, BOB).upper()),
            "From: a@b.example",
        ),
    ],
)
async def test_an_address_that_we_signed_is_believed_whoever_writes_it(world: World, octets: bytes) -> None:
    await world.stage(VERP)(message(octets, FBL))
    (heard,) = world.heard
    assert (heard.recipient.lower(), heard.proven) == (BOB, True)
    assert (heard.message, heard.sent) == (str(SENT)[:16], SENT.time)


async def test_where_the_address_had_no_room_the_complaint_says_whom(world: World) -> None:
    signed = VERP.sign(SENT, f"{'l' * 60}@far.example")
    await world.stage(VERP)(
        message(samples.YAHOO.replace(b"<news@example.org>\r\nOriginal", f"<{signed}>\r\nOriginal".encode()), FBL)
    )
    (heard,) = world.heard
    assert (heard.recipient, heard.proven, heard.message) == (BOB, True, str(SENT)[:16])


async def test_a_link_that_we_signed_is_believed(world: World) -> None:
    token = sign(Link(BOB, "news", int(time.time())), [b"a long secret"])
    for signed, believed in ((token, True), (sign(Link(BOB, "news", int(time.time())), [b"another"]), False)):
        link = f"List-Unsubscribe: <mailto:x@example.org>, <https://example.org/leave/{signed}>"
        await world.stage()(
            message(samples.arf("Feedback-Type: abuse\n", samples.copied("redacted@far.example", link)), FBL)
        )
        heard = world.heard.pop()
        assert (heard.recipient, heard.proven) == ((BOB, True) if believed else ("", False))


async def test_nobody_here_is_taken_for_the_recipient(world: World) -> None:
    """Lists of ours stand in To."""
    octets = samples.arf("Feedback-Type: abuse\n", samples.copied("news@example.org"))
    await world.stage(reporters=("*",))(message(octets, FBL))
    (heard,) = world.heard
    assert (heard.recipient, heard.proven) == ("", False)


@pytest.mark.parametrize("octets", [samples.NOT_SPAM, samples.DMARC_FAILURE])
async def test_what_is_no_complaint_is_told_and_not_heard(world: World, octets: bytes, capfd) -> None:
    assert await world.stage()(message(octets, FBL)) == Each({FBL: READ})
    assert world.heard == []
    assert len(events(capfd, "complaint")) == 1


async def test_what_cannot_be_read_goes_on(world: World, capfd) -> None:
    about = message(b"Subject: please\r\n\r\nno more.\r\n", FBL, TLS, passed=["a.example"])
    assert await world.stage()(about) is about
    said = capfd.readouterr().err
    assert re.search(r'"event":"complaint-unread"', said)
    assert re.search(r'"event":"tls-report-unread".*it holds no JSON', said)


async def test_it_may_be_kept_and_others_get_it_too(world: World) -> None:
    about = message(samples.YAHOO, FBL)
    assert await world.stage(keep=True)(about) is about
    both = message(samples.YAHOO, "ann@example.org", FBL)
    assert await world.stage()(both) == Each({FBL: READ})


def kept(world: World) -> list[tuple[str, tuple[str, ...]]]:
    world.inbox.close()
    with ReportStore.open(world.folder, read_only=True) as store:
        return [(one.report.org_name, one.signed) for one in store.reports()]


async def test_a_report_on_tls_is_kept(world: World, capfd) -> None:
    octets = as_mail(GOOGLE | {"date-range": TODAY})
    stage = world.stage()
    for _ in range(2):
        assert await stage(message(octets, TLS, passed=["google.com"])) == Each({TLS: READ})
    first, second = events(capfd, "tls-report")
    assert (first["org"], first["domain"], first["succeeded"], first["failed"]) == (
        "Google Inc.",
        ["example.org"],
        12,
        0,
    )
    assert (first["new"], second["new"]) == (True, False)
    assert kept(world) == [("Google Inc.", ("google.com",))]


@pytest.mark.parametrize(("passed", "taken"), [(None, True), ([], False)])
async def test_one_without_a_signature_is_ignored(world: World, passed, taken: bool, capfd) -> None:
    about = message(as_mail(GOOGLE | {"date-range": TODAY}), TLS, passed=passed)
    assert (await world.stage()(about) is about) is not taken
    assert len(events(capfd, "tls-report-unread")) == (not taken)
    if taken:
        assert kept(world) == [("Google Inc.", ())]


async def test_one_that_is_too_large_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch, capfd) -> None:
    monkeypatch.setattr("stages.incoming_reports.TLS_LIMIT", 2**20)
    about = message(as_mail(GOOGLE) + b"x" * 2**20, TLS)
    assert await world.stage()(about) is about
    (told,) = events(capfd, "tls-report-unread")
    assert told["why"] == "it has more than 1 MiB"


def test_settings_that_cannot_work(tmp_path: Path) -> None:
    check = IncomingReports.check
    assert list(check(tls=("tls@example.org",))) == []
    assert list(check()) == ["say dmarc, tls or complaints: the addresses that reports come to"]
    assert list(check(complaints=("nobody", "a@b@c"))) == [
        "complaints: 'nobody' is no address",
        "complaints: 'a@b@c' is no address",
    ]
    (tmp_path / "empty").write_text("\n")
    assert "there is no secret" in next(check(tls=(TLS,), link_secrets=tmp_path / "empty"))
    assert "cannot read" in next(check(tls=(TLS,), link_secrets=tmp_path / "nowhere"))
