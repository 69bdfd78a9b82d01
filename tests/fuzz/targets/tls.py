"""What domains publish about TLS, and the certificates that servers show."""

import contextlib

from engine.policies.published import Dane, Published
from engine.protocols.ber import Malformed
from engine.protocols.mta_sts import LONGEST_AGE, parse_policy, policy_id
from engine.protocols.tlsa import Tlsa, end_entity, public_key, trust_anchors, usable


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
