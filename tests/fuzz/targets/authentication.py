"""What a message and the DNS say of who has sent it, signed it and checked it."""

import contextlib

import trio

from engine.authentication import dmarc_record, results, spf_record
from engine.authentication.author import author_domains
from engine.authentication.fields import split_message
from engine.authentication.keys import parse_record
from engine.authentication.reported import reported
from engine.authentication.sealer import has_failed
from engine.authentication.signatures import Signatures
from engine.net.dns import Answer, Outcome
from engine.reports.received import parse
from engine.reports.unpacked import Unreadable, unpacked
from tests.fuzz.targets.cutting import cut


def signatures(data: bytes) -> None:
    """What a message says of those who sent it, signed it and handed it on."""
    whole, pieces = cut(data)
    assert _signatures(whole) == _signatures(pieces)


def _signatures(pieces: list[bytes]) -> tuple[object, ...]:
    async def ask(*_: str) -> Outcome[bytes]:
        return Answer((b"k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",), 0.0)

    fields, body = split_message(pieces)
    found = Signatures(fields)
    trio.run(found.check, body, ask, 0.0)
    with contextlib.suppress(ValueError):
        author_domains(fields)
    return found.dkim, found.arc, reported(fields, "a"), has_failed(fields)


def key_record(data: bytes) -> None:
    """What a TXT record says of a key."""
    parse_record(data)


def policy_records(data: bytes) -> None:
    """What TXT records say of who may send, and of what to do with others' mail."""
    with contextlib.suppress(ValueError):
        for mechanism in spf_record.parse(b"v=spf1 " + data).mechanisms:
            values = dict.fromkeys(spf_record.letters(mechanism.domain), "a.b-c")
            assert len(spf_record.target_name(spf_record.expand(mechanism.domain, values))) <= spf_record.NAME_LIMIT
    record = dmarc_record.select([b"v=DMARC1;" + data])
    assert record is None or record.policy is None or record.policy in dmarc_record.Policy


def aggregate_report(data: bytes) -> None:
    """What others report about mail in our name, packed as they like."""
    with contextlib.suppress(Unreadable):
        for octets in unpacked(data[4:]):
            parse(octets)
    with contextlib.suppress(Unreadable):
        parse(b"<feedback>" + data[4:])


def authentication_results(data: bytes) -> None:
    """A field that says who has checked a message; what it says can be written again."""
    text = data.decode("utf-8", "replace")
    results.claims(text, "mx.example.org")
    parsed = results.parse(text)
    if parsed is not None:
        written = results.field(parsed.authserv_id, [results.Finding("a", "b", comment=text, reason=text)])
        assert results.parse(written.decode("ascii").partition(":")[2]) is not None
