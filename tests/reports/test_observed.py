"""What a message adds to a report: which are counted, and what is said of what was done."""

import dataclasses

import pytest

from engine.authentication.dmarc import Method, Policy
from engine.authentication.dmarc_record import select
from engine.authentication.evaluate import Client
from engine.authentication.outcome import Result
from engine.reports.observed import Observed, observed
from tests.reports.samples import found


def seen(result: Result = Result.FAIL, applied: Policy = Policy.REJECT, override: str = "", **changes) -> Observed:
    what = observed(found(result, **changes), changes.pop("method", Method.TREE_WALK), applied, override)
    assert what is not None
    return what


def test_what_is_said_of_a_message() -> None:
    what = seen()
    assert what.published.domain == "example.com"
    assert (what.published.p, what.published.sp, what.published.np) == ("reject", "none", "none")
    assert (what.published.adkim, what.published.aspf, what.published.testing) == ("s", "r", "n")
    assert (what.published.method, what.published.rua) == ("treewalk", "mailto:dmarc@example.com!10m")
    assert (what.row.source, what.row.header_from, what.row.envelope_from) == (
        "192.0.2.1", "example.com", "example.net",
    )  # fmt: skip
    assert what.row.signatures == (("example.com", "s1", "pass"), ("example.net", "s2", "fail"))
    assert (what.row.spf_domain, what.row.spf_result) == ("example.net", "softfail")


def test_what_could_not_be_stored_is_replaced() -> None:
    strange = dataclasses.replace(found(), client=Client("192.0.2.1", "mx", "a@\udcff" + "x" * 300))
    what = observed(strange, Method.TREE_WALK, Policy.REJECT)
    assert what is not None
    assert what.row.envelope_from == "?" + "x" * 254


@pytest.mark.parametrize("record", [None, select([b"v=DMARC1; p=reject"]), select([b"v=DMARC1; p=none; rua=nobody"])])
def test_where_nobody_wants_to_know(record) -> None:
    assert observed(found(record=record), Method.TREE_WALK, Policy.REJECT) is None


@pytest.mark.parametrize("result", [Result.NONE, Result.TEMPERROR, Result.PERMERROR])
def test_what_could_not_be_judged_is_not_counted(result: Result) -> None:
    assert observed(found(result), Method.TREE_WALK, Policy.NONE) is None


@pytest.mark.parametrize(
    ("changes", "disposition", "reason"),
    [
        ({}, "reject", ""),
        ({"applied": Policy.NONE, "override": "only noted"}, "none", "local_policy"),
        ({"disposition": Policy.NONE, "applied": Policy.NONE, "sealer": "a.org"}, "none", "trusted_forwarder"),
        ({"disposition": Policy.QUARANTINE, "applied": Policy.QUARANTINE}, "quarantine", "policy_test_mode"),
        ({"policy": Policy.NONE, "disposition": Policy.NONE, "applied": Policy.NONE}, "none", ""),
        ({"result": Result.PASS, "dkim": True, "disposition": Policy.NONE, "applied": Policy.NONE}, "pass", ""),
        (
            {"result": Result.PASS, "policy": Policy.NONE, "disposition": Policy.NONE, "applied": Policy.NONE},
            "none",
            "",
        ),
    ],
)
def test_what_was_done_and_why(changes: dict, disposition: str, reason: str) -> None:
    row = seen(**changes).row
    assert (row.disposition, row.reason) == (disposition, reason)
