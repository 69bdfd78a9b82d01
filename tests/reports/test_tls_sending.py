"""Reports on TLS: the letter of RFC 8460 5.3, the post of 3, each report once, whatever fails on the way."""

import email
import email.policy
import gzip
import json
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

import msgspec
import pytest

from engine import Defer, Delivered, Message, Reject, Verdict
from engine.config import Reports
from engine.reports.counts import DAY
from engine.reports.posting import Posting
from engine.reports.sending import KEPT, Office, Sender
from engine.reports.sessions import SessionCounts, Wanted
from engine.reports.tls import TlsReports
from engine.reports.tls_received import parse
from engine.reports.unpacked import unpacked
from tests.reports.test_sessions import FAILED, STS, gathered
from tests.support.told_dns import TROUBLE, ToldDns

OFFICE = Office(Reports(org_name="Example & Söhne", email="tls@reporter.example"), "mx.reporter.example")
NOON_LATER = 8.5 * DAY
PAGE = "https://reports.example.com/tls?x=1"


class Pages(Posting):
    """What was posted, and what pages say."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str, bytes]] = []
        self.trouble = ""

    async def post(self, page: str, media: str, body: bytes) -> str:
        self.posted.append((page, media, body))
        return self.trouble


@dataclass
class Post:
    counts: SessionCounts
    now: float = NOON_LATER
    rua: str = "mailto:tls@example.com"
    verdicts: list[Verdict] = field(default_factory=list)
    sent: list[Message] = field(default_factory=list)
    pages: Pages = field(default_factory=Pages)

    def write(self, *results, rua: str | None = None) -> None:
        some = gathered(*results)
        for key, wanted in some.published.items():
            some.published[key] = Wanted(wanted.domain, self.rua if rua is None else rua)
        self.counts.write(some)

    def sender(self, dns: dict | None = None) -> Sender:
        async def submit(message: Message) -> Verdict:
            self.sent.append(message)
            return self.verdicts.pop(0) if self.verdicts else Delivered()

        kind = TlsReports(lambda: self.counts, lambda: ToldDns(dns or {}), lambda: self.pages)
        return Sender(kind, lambda: OFFICE, submit, lambda: self.now)


@pytest.fixture
def post(tmp_path: Path):
    with SessionCounts.open(tmp_path / "sessions") as counts:
        yield Post(counts)


def letter(message: Message) -> EmailMessage:
    octets = b"".join(message.chunks())
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert max(map(len, octets.split(b"\r\n"))) <= 998
    return email.message_from_bytes(octets, policy=email.policy.default)  # type: ignore[return-value]


async def test_the_letter(post: Post) -> None:
    post.write(STS, FAILED)
    await post.sender().send()
    (message,) = post.sent
    assert (message.sender, message.recipients) == ("", ("tls@example.com",))
    written = letter(message)
    assert written.get_content_type() == "multipart/report"
    assert written.get_param("report-type") == "tlsrpt"
    assert (written["TLS-Report-Domain"], written["TLS-Report-Submitter"]) == ("example.com", "reporter.example")
    assert (written["From"], written["To"]) == ("tls@reporter.example", "tls@example.com")
    assert written["TLS-Required"] == "No"
    text, report = written.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert report.get_content_type() == "application/tlsrpt+gzip"
    said = json.loads(gzip.decompress(report.get_content()))
    identity = said["report-id"]
    assert written["Subject"] == (
        f"Report Domain: example.com Submitter: reporter.example Report-ID: <{identity}@reporter.example>"
    )
    assert report.get_filename() == f"reporter.example!example.com!{7 * DAY}!{8 * DAY - 1}!{identity}.json.gz"
    assert f'filename="{report.get_filename()}"' in str(report["Content-Disposition"])


async def test_what_it_says(post: Post) -> None:
    dane = msgspec.structs.replace(FAILED, policy_type="tlsa", policy=("3 1 1 abcd",), mx_patterns=(), result="")
    post.write(STS, STS, FAILED, dane, msgspec.structs.replace(FAILED, policy_type="no-policy-found", policy=(),
               mx_patterns=(), result="starttls-not-supported", mx_helo=""))  # fmt: skip
    await post.sender().send()
    (octets,) = unpacked(b"".join(post.sent[0].chunks()), "JSON")
    said = json.loads(octets)
    assert said.pop("report-id")
    assert said == {
        "organization-name": "Example & Söhne",
        "date-range": {"start-datetime": "1970-01-08T00:00:00Z", "end-datetime": "1970-01-08T23:59:59Z"},
        "contact-info": "tls@reporter.example",
        "policies": [
            {
                "policy": {"policy-type": "no-policy-found", "policy-domain": "example.com"},
                "summary": {"total-successful-session-count": 0, "total-failure-session-count": 1},
                "failure-details": [
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "192.0.2.1",
                        "receiving-mx-hostname": "mx.example.com",
                        "receiving-ip": "192.0.2.25",
                        "failed-session-count": 1,
                        "failure-reason-code": FAILED.reason,
                    }
                ],
            },
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": list(STS.policy),
                    "policy-domain": "example.com",
                    "mx-host": ["mx.example.com"],
                },
                "summary": {"total-successful-session-count": 2, "total-failure-session-count": 1},
                "failure-details": [
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "192.0.2.1",
                        "receiving-mx-hostname": "mx.example.com",
                        "receiving-mx-helo": "mail.example.com",
                        "receiving-ip": "192.0.2.25",
                        "failed-session-count": 1,
                        "failure-reason-code": FAILED.reason,
                    }
                ],
            },
            {
                "policy": {"policy-type": "tlsa", "policy-string": ["3 1 1 abcd"], "policy-domain": "example.com"},
                "summary": {"total-successful-session-count": 1, "total-failure-session-count": 0},
            },
        ],
    }
    report = parse(octets)  # our own reader takes it as well
    assert (report.succeeded, report.failed) == (3, 2)


async def test_a_post(post: Post) -> None:
    post.rua = f"{PAGE},mailto:tls@example.com!1"  # which has no room for the letter
    post.write(STS)
    await post.sender().send()
    ((page, media, body),) = post.pages.posted
    assert (page, media) == (PAGE, "application/tlsrpt+gzip")
    assert parse(gzip.decompress(body)).domains == ["example.com"]
    assert (post.sent, post.counts.due(9)) == ([], [])


async def test_one_that_has_it_is_enough(post: Post, capfd: pytest.CaptureFixture[str]) -> None:
    post.rua = f"{PAGE},mailto:tls@example.com"
    post.write(STS)
    post.pages.trouble = "it answered 503"
    await post.sender().send()
    assert len(post.sent) == 1
    assert post.counts.due(9) == []
    assert '"to":["tls@example.com"]' in capfd.readouterr().err


async def test_a_page_that_fails_is_tried_again_and_not_for_ever(post: Post, capfd: pytest.CaptureFixture[str]) -> None:
    post.rua = PAGE
    post.write(STS)
    post.pages.trouble = "it answered 503"
    sender = post.sender()
    await sender.send()
    await sender.send()
    assert len(post.pages.posted) == 2
    assert '"event":"report-put-off"' in capfd.readouterr().err
    post.now = (7 + KEPT) * DAY
    await sender.send()
    assert post.counts.due(9) == []
    assert f'"reason":"{PAGE}: it answered 503"' in capfd.readouterr().err


@pytest.mark.parametrize(("verdict", "left"), [(Defer("no room"), 1), (Reject("no"), 0)])
async def test_what_the_queue_says(post: Post, verdict: Verdict, left: int) -> None:
    post.write(STS)
    post.verdicts = [verdict]
    await post.sender().send()
    assert len(post.counts.due(9)) == left


async def test_a_domain_that_the_dns_did_not_know_of_is_asked_again(post: Post) -> None:
    post.write(STS, rua="")
    name = "_smtp._tls.example.com"
    await post.sender({name: {"TXT": TROUBLE}}).send()
    assert (post.sent, len(post.counts.due(9))) == ([], 1)
    await post.sender({name: {"TXT": "v=TLSRPTv1; rua=mailto:other@example.com"}}).send()
    assert [message.recipients for message in post.sent] == [("other@example.com",)]


async def test_who_wants_none_any_more_gets_none(post: Post, capfd: pytest.CaptureFixture[str]) -> None:
    post.write(STS, rua="")
    await post.sender().send()
    assert (post.sent, post.counts.due(9)) == ([], [])
    assert capfd.readouterr().err == ""


async def test_each_at_a_moment_of_its_own(post: Post) -> None:
    names = [f"{number}.example" for number in range(40)]
    for name in names:
        post.write(msgspec.structs.replace(STS, domain=name))
    counts = []
    for hours in range(6):
        post.now = 8 * DAY + hours * 3600 + 700
        await post.sender().send()  # as after a restart
        counts.append(len(post.sent))
    assert counts[0] < counts[2] < counts[4] == counts[5] == 40  # within four hours


async def test_what_was_in_hand_at_a_crash_is_not_sent_again(post: Post) -> None:
    post.write(STS)
    (key,) = post.counts.due(9)
    post.counts.claim(key)
    await post.sender().send()
    assert (post.sent, post.counts.due(9)) == ([], [])
