"""A domain is looked at within its time, whatever does not answer."""

import pytest

from engine.config import parse
from engine.operations import presence
from engine.operations.operator import Forbidden, Operator
from tests.support.site import BASIC
from tests.support.told_dns import SilentDns

EVERYBODY = Operator("owner")


async def nothing(url: str) -> str:
    raise OSError(url)


@pytest.fixture
def config(tmp_path):
    return parse(BASIC, tmp_path / "pipeline.toml")


async def test_what_has_no_answer_is_unknown_when_its_time_is_over(config, autojump_clock):
    dns = SilentDns("example.org", {})
    before = autojump_clock.current_time()
    rows = await presence.checked(dns.ask, nothing, config, EVERYBODY, "example.org", patience=3)
    assert autojump_clock.current_time() - before == 3
    verdicts = {row.what: row.verdict for row in rows}
    assert verdicts.pop("DKIM") == "missing"  # there are no keys
    assert verdicts.pop("DMARC") in {"unknown", "missing"}
    assert set(verdicts.values()) == {"unknown"}


async def test_it_is_for_who_may_touch_the_domain(config):
    with pytest.raises(Forbidden):
        await presence.checked(SilentDns("", {}).ask, nothing, config, Operator("x", frozenset()), "example.org")


def test_a_long_text_is_one_value_and_several_strings():
    made = presence.Published("k._domainkey.example.org", "TXT", f'"{"a" * 255}" "{"b" * 100}"')
    assert made.value == "a" * 255 + "b" * 100
    assert made.line.count('"') == 4
    assert presence.Published("example.org", "MX", "10 mx.example.org.").value == "10 mx.example.org."
