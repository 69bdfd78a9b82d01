"""Sending: once a day, to those who may have it, each report once whatever happens in between."""

import email
import email.policy
import gzip
import subprocess
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest

from engine import Defer, Delivered, Message, Reject, Verdict
from engine.config import Reports
from engine.reports.counts import DAY, Counts
from engine.reports.dmarc import AggregateReports
from engine.reports.received import parse
from engine.reports.rows import Observed, Published, Row
from engine.reports.sending import KEPT, Office, Sender
from tests.reports.samples import PUBLISHED, ROW
from tests.reports.test_counts import gathered, of
from tests.support.programs import needs
from tests.support.told_dns import TROUBLE, ToldDns

SCHEMA = Path(__file__).parent / "data" / "dmarc-2.0.xsd"
OFFICE = Office(Reports(org_name="Example & Sons", email="dmarc@reporter.example"), "mx.reporter.example")
TWO_LATER = 9.5 * DAY
RECORD = {"TXT": "v=DMARC1; p=reject"}


@dataclass
class Post:
    """A sender, its clock, its DNS, and what came of it."""

    counts: Counts
    now: float = TWO_LATER
    dns: dict = field(default_factory=lambda: {"_dmarc.example.com": RECORD})
    verdicts: list[Verdict] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)

    def sender(self) -> Sender:
        async def submit(message: Message) -> Verdict:
            self.sent.append(message)
            return self.verdicts.pop(0) if self.verdicts else Delivered()

        kind = AggregateReports(lambda: self.counts, lambda: ToldDns(self.dns))
        return Sender(kind, lambda: OFFICE, submit, lambda: self.now)


@pytest.fixture
def post(tmp_path: Path):
    counts = Counts.open(tmp_path / "reports")
    counts.write(gathered(of(), of(), of(source="2001:db8::1")))
    yield Post(counts)
    counts.close()


def letter(message: Message) -> EmailMessage:
    octets = b"".join(message.chunks())
    assert b"\n" not in octets.replace(b"\r\n", b"")
    return email.message_from_bytes(octets, policy=email.policy.default)  # type: ignore[return-value]


def xml(message: Message) -> bytes:
    (attached,) = letter(message).iter_attachments()
    return gzip.decompress(attached.get_content())


async def test_the_message(post: Post) -> None:
    await post.sender().send()
    (message,) = post.sent
    assert (message.sender, message.recipients) == ("", ("dmarc@example.com",))
    written = letter(message)
    report = parse(xml(message))
    assert written["From"] == "dmarc@reporter.example"
    assert written["To"] == "dmarc@example.com"
    assert written["Subject"] == (
        f"Report Domain: example.com Submitter: reporter.example Report-ID: <{report.identity}>"
    )
    assert written["Message-ID"] == f"<{report.identity}@reporter.example>"
    assert written["Auto-Submitted"] == "auto-generated"
    (attached,) = written.iter_attachments()
    assert attached.get_content_type() == "application/gzip"
    assert attached.get_filename() == (f"reporter.example!example.com!{7 * DAY}!{8 * DAY - 1}!{report.identity}.xml.gz")


async def test_the_report(post: Post) -> None:
    await post.sender().send()
    report = parse(xml(post.sent[0]))
    assert (report.org_name, report.email) == ("Example & Sons", "dmarc@reporter.example")
    assert (report.domain, report.begin, report.end) == ("example.com", 7 * DAY, 8 * DAY - 1)
    assert report.policy == {
        "discovery_method": "treewalk", "p": "reject", "sp": "quarantine", "np": "none", "fo": "1", "adkim": "s",
        "aspf": "r", "testing": "n",
    }  # fmt: skip
    assert {(record.source, record.count) for record in report.records} == {("192.0.2.1", 2), ("2001:db8::1", 1)}
    record = report.records[0]
    assert (record.disposition, record.dkim, record.spf, record.header_from, record.envelope_from) == (
        "pass", "pass", "fail", "example.com", "example.net",
    )  # fmt: skip


STRANGE = {
    "as usual": ROW,
    "no signature, null sender": msgspec.structs.replace(ROW, signatures=(), envelope_from=""),
    "a reason": msgspec.structs.replace(ROW, reason="local_policy", comment='<&"> \x00\x1b \N{SNOWMAN}'),
    "names that are none": msgspec.structs.replace(
        ROW, envelope_from="</row>", signatures=(("\x0b]]>", "&amp;", "permerror"),), spf_domain="\uffff"
    ),
}


@needs("xmllint")
@pytest.mark.parametrize("case", STRANGE)
async def test_the_schema_of_the_rfc(post: Post, case: str, tmp_path: Path) -> None:
    row: Row = STRANGE[case]
    post.counts.write(gathered(Observed(PUBLISHED, row)))
    await post.sender().send()
    path = tmp_path / "report.xml"
    path.write_bytes(xml(post.sent[0]))
    done = subprocess.run(["xmllint", "--noout", "--schema", SCHEMA, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


async def test_each_report_is_sent_once(post: Post) -> None:
    await post.sender().send()
    await post.sender().send()
    assert len(post.sent) == 1


async def test_a_day_is_reported_once_it_is_over(post: Post) -> None:
    post.now = 7.99 * DAY
    await post.sender().send()
    assert post.sent == []
    post.now = 8 * DAY + 5000
    await post.sender().send()
    assert len(post.sent) == 1


async def test_what_was_in_hand_at_a_crash_is_not_sent_again(post: Post) -> None:
    class Crash(BaseException):
        pass

    async def crash(_: Message) -> Verdict:
        raise Crash

    sender = Sender(AggregateReports(lambda: post.counts, lambda: ToldDns(post.dns)), lambda: OFFICE, crash,
                    lambda: post.now)  # fmt: skip
    with pytest.raises(Crash):
        await sender.send()
    await post.sender().send()
    assert (post.sent, post.counts.due(9)) == ([], [])


async def test_what_the_queue_puts_off_is_sent_later_under_the_same_name(post: Post) -> None:
    post.verdicts = [Defer("no room")]
    sender = post.sender()
    await sender.send()
    await sender.send()
    first, second = post.sent
    assert letter(first)["Message-ID"] == letter(second)["Message-ID"]
    assert post.counts.due(9) == []


async def test_what_cannot_be_sent_for_days_is_given_up(post: Post) -> None:
    post.verdicts = [Defer("no room")]
    post.now = (7 + KEPT) * DAY
    await post.sender().send()
    assert post.counts.due(9) == []


async def test_what_is_refused_is_dropped(post: Post) -> None:
    post.verdicts = [Reject("no reports")]
    await post.sender().send()
    assert post.counts.due(9) == []


async def test_a_report_that_cannot_be_made_stops_no_other(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    post.counts.write(gathered(of("other.example", rua="mailto:a@other.example")))

    def written(about: object, published: Published, rows: object) -> bytes:
        if published.domain == "example.com":
            raise RuntimeError("no template")
        return b"<feedback/>"

    monkeypatch.setattr("engine.reports.dmarc.written", written)
    await post.sender().send()
    assert [message.recipients for message in post.sent] == [("a@other.example",)]
    assert post.counts.due(9) == []


@pytest.mark.parametrize(
    ("rua", "wanted"),
    [
        ("mailto:a@example.com!1", ()),
        ("mailto:a@example.com!1,mailto:b@example.com!1m,mailto:c@example.com", ("b@example.com", "c@example.com")),
        ("mailto:a@victim.example", ()),
    ],
)
async def test_only_those_who_take_it_get_it(post: Post, rua: str, wanted: tuple[str, ...]) -> None:
    post.counts.write(gathered(of(rua=rua)))
    await post.sender().send()
    assert tuple(address for message in post.sent for address in message.recipients) == wanted
    assert all(letter(message)["To"] == ", ".join(wanted) for message in post.sent)
    assert post.counts.due(9) == []


async def test_trouble_of_the_dns_is_waited_for_and_not_for_ever(post: Post) -> None:
    post.counts.write(gathered(of(rua="mailto:a@example.net,mailto:b@example.com")))
    post.dns["_dmarc.example.net"] = {"TXT": TROUBLE}
    sender = post.sender()
    await sender.send()
    assert post.sent == []
    post.now = (7 + KEPT) * DAY
    await sender.send()
    assert [message.recipients for message in post.sent] == [("b@example.com",)]


async def test_reports_that_are_off(post: Post) -> None:
    kind = AggregateReports(lambda: post.counts, lambda: ToldDns(post.dns))

    async def submit(_: Message) -> Verdict:
        raise AssertionError

    await Sender(kind, lambda: None, submit, lambda: post.now).send()
    assert len(post.counts.due(9)) == 1
