"""What the checks of one message add to the report about its domain (RFC 9990 2.1)."""

from engine.authentication.dkim import DkimResult
from engine.authentication.dmarc import Dmarc, Method, Policy
from engine.authentication.evaluate import Authentication
from engine.authentication.outcome import Result
from engine.reports.rows import LONGEST, Observed, Published, Row, Signature

SIGNATURES = 8
"""Signatures of one message that are told (RFC 9990 2.1.5 allows up to 100); those that pass come first."""

REPORTED = (Result.PASS, Result.FAIL)
"""Results of DMARC that are counted: of others nobody knows what they would have been."""


def observed(found: Authentication, method: Method, applied: Policy, override: str = "") -> Observed | None:
    """What a message adds; None where nobody wants to know.

    ``applied``: what was done with it. ``override``: why that is not what the judgement says, for people.
    """
    judged = found.dmarc
    if judged.record is None or not judged.record.reports or judged.result not in REPORTED:
        return None
    reason, comment = _reason(judged, method, applied, override)
    passed = judged.result is Result.PASS and judged.policy is not Policy.NONE
    row = Row(
        source=found.iprev.ip,
        disposition="pass" if passed else applied.value,
        dkim=judged.dkim,
        spf=judged.spf,
        reason=reason,
        comment=comment,
        header_from=_kept(judged.author),
        envelope_from=_kept(found.client.mail_from.rpartition("@")[2].lower()),
        signatures=_signatures(found.dkim),
        spf_domain=_kept(found.spf.mail_from.domain),
        spf_result=found.spf.mail_from.result.value,
    )
    return Observed(_published(judged, method), row)


def _published(judged: Dmarc, method: Method) -> Published:
    record = judged.record
    assert record is not None
    return Published(
        domain=judged.domain,
        p=(record.policy or Policy.NONE).value,
        sp=record.subdomains.value,
        np=record.nonexistent.value,
        adkim="s" if record.strict_dkim else "r",
        aspf="s" if record.strict_spf else "r",
        fo=_kept(record.failures),
        testing="y" if record.testing else "n",
        method="treewalk" if method is Method.TREE_WALK else "psl",
        rua=record.reports,
    )


def _reason(judged: Dmarc, method: Method, applied: Policy, override: str) -> tuple[str, str]:
    """Where a message fails and what was done is not what the record says, there must be one (RFC 9990 2.1.1.9)."""
    if judged.result is Result.PASS or applied is judged.policy:
        return "", ""
    if judged.sealer:
        return "trusted_forwarder", _kept(f"ARC chain sealed by {judged.sealer}")
    if applied is not judged.disposition:
        return "local_policy", override
    return ("policy_test_mode", "") if method is Method.TREE_WALK else ("other", "not among the pct= of the record")


def _signatures(found: tuple[DkimResult, ...]) -> tuple[Signature, ...]:
    readable = [signature for signature in found if signature.domain and signature.selector]
    best = sorted(readable, key=lambda signature: signature.result is not Result.PASS)[:SIGNATURES]
    return tuple((_kept(each.domain), _kept(each.selector), each.result.value) for each in best)


def _kept(text: str) -> str:
    """As it can be stored."""
    return text[:LONGEST].encode(errors="replace").decode()
