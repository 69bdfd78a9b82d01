"""What domains publish about TLS, and the certificates that servers show."""

import contextlib

from engine.policies.published import Dane, Published
from engine.protocols.ber import Malformed
from engine.protocols.mta_sts import LONGEST_AGE, parse_policy, policy_id
from engine.protocols.tls_reporting import report_uris
from engine.protocols.tlsa import Tlsa, end_entity, public_key, trust_anchors, usable
from engine.reports.destinations import MOST, addresses, pages
from engine.reports.tls_received import LONGEST
from engine.reports.tls_received import parse as parse_tls_report
from engine.reports.unpacked import Unreadable, unpacked


def sts_policy(data: bytes) -> None:
    """What is a policy can be read again as reports quote it."""
    identity = policy_id(data.split(b"\n"))
    assert len(identity) <= 32
    assert not identity or identity.isalnum()
    with contextlib.suppress(ValueError):
        policy = parse_policy(data)
        assert policy.mode == "none" or policy.mx
        assert 0 <= policy.max_age <= LONGEST_AGE
        assert parse_policy("\n".join(policy.lines).encode()) == policy
        assert all(policy.covers(pattern.replace("*", "a")) for pattern in policy.mx)


def tlsa_records(data: bytes) -> None:
    """What counts can be used, and travels as a fact."""
    records = [Tlsa(*piece[:3], piece[3:]) for piece in data.split(b"\n") if len(piece) >= 3]
    counting = usable(records)
    assert set(counting) <= set(records)
    assert usable(counting) == counting
    end_entity(counting, data)
    assert not trust_anchors([record for record in counting if record.matching], [data])
    published = Published.of("a.example", None, (Dane("mx.a.example", "mx.a.example", counting),))
    assert Published.from_fact(published.fact) == published


def certificate(data: bytes) -> None:
    """The public key is a piece of it."""
    with contextlib.suppress(Malformed):
        assert public_key(data) in data


def tls_report(data: bytes) -> None:
    """What others report on TLS, packed as they like, and the record that asks for it."""
    for octets in (data[4:], b"{" + data[4:]):
        with contextlib.suppress(Unreadable):
            for found in unpacked(octets, "JSON"):
                report = parse_tls_report(found)
                texts = [report.org_name, report.identity, *report.domains]
                texts += [failure.reason for policy in report.policies for failure in policy.failures]
                assert all(len(text) <= LONGEST and text.isprintable() for text in texts)
    uris = report_uris([b"v=TLSRPTv1;" + data[4:]])
    assert len(addresses(uris)) + len(pages(uris)) <= 2 * MOST
