"""Conditions on facts: read from text, and asked about a message."""

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import message
from engine.condition import When, parse_condition

pytestmark = pytest.mark.benchmark(group="Conditions")

SHORT = "scan.score >= 5"
LONG = (
    'scan.score >= 1 and not session.login and spf.result in ["pass", "none"]'
    ' and (size > 1000000 or dmarc.result == "pass")'
)
CASES = pytest.mark.parametrize(("name", "text", "holds"), [("short", SHORT, False), ("long", LONG, True)])


@CASES
def test_parse(measure: Measure, name: str, text: str, *, holds: bool) -> None:
    found: When = measure(f"parse a {name} condition", parse_condition, text)
    assert (found.text, found.holds(message())) == (text, holds)


@CASES
def test_holds(measure: Measure, name: str, text: str, *, holds: bool) -> None:
    condition = parse_condition(text)
    assert measure(f"a {name} condition on a message", condition.holds, message()) is holds
