"""Sieve: a script of ten rules, compiled, read back, and run on a message."""

import pytest

from bench.micro.measure import Measure
from bench.micro.samples import KIB, letter
from engine.sieve import Alone, FileInto, Octets, compile_script, dumps, execute, loads

pytestmark = pytest.mark.benchmark(group="Sieve")

_NEEDS = b'require ["fileinto", "envelope", "imap4flags", "regex", "variables", "body", "subaddress"];\n'
_RULES = (
    b"".join(
        b'if header :contains "List-Id" "list-%d.example.org" { fileinto "lists/%d"; stop; }\n' % (number, number)
        for number in range(5)
    )
    + b"""
if address :domain "From" ["shop.example.net", "news.example.net"] { fileinto "Offers"; stop; }
if envelope :detail "to" "bank" { addflag "\\\\Flagged"; }
if header :matches "Subject" "[*] *" { set "tag" "${1}"; }
if anyof (header :is "X-Spam-Flag" "YES", size :over 20M) { fileinto "Junk"; stop; }
"""
)
_LAST = b'if header :contains "Subject" "" { fileinto "Other"; }\n'
SCRIPT = _NEEDS + _RULES + _LAST
_BY_REGEX = (
    b'if header :regex "Subject" "(order|invoice) +(no|number)[.:]? *([0-9]+)" { stop; } else { fileinto "Other"; }'
)


def test_compiling(measure: Measure) -> None:
    script = measure("a script of ten rules, compiled", compile_script, SCRIPT)
    assert len(script.commands) == 10


def test_reading_back(measure: Measure) -> None:
    script = compile_script(SCRIPT)
    assert measure("the same, read as it was kept", loads, dumps(script)) == script


@pytest.mark.parametrize("last", [_LAST, _BY_REGEX], ids=["plain", "regex"])
def test_running(measure: Measure, last: bytes) -> None:
    script, octets = compile_script(_NEEDS + _RULES + last), letter(4 * KIB)
    world = Alone("ann@client.test", "bob@rcpt.test")
    what = f"run on a message of 4 KiB, none of ten rules fits but the last{', a regex' * (last is _BY_REGEX)}"
    outcome = measure(what, lambda: execute(script, Octets(octets), world))
    assert outcome.actions == (FileInto("Other"),)
