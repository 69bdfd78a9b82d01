"""Rules for sites: how they are read, which of them holds, and the mistakes in them."""

from pathlib import Path

import pytest

from engine import Rate
from engine.config import Config, ConfigError, load
from engine.shaping.shape import Shape, providers_of, shaped
from engine.shaping.shaping import Shaping

PIPELINE = """
[server]
hostname = "mx.example.org"

[listen]
smtp = "127.0.0.1:2525"

[shaping]
file = "shaping.toml"
{more}

[lane.outbound]
stages = ["accept", "queue", "resolve", "relay"]
"""

RULES = """
[default]
connections = 9
idle = "4s"
retry = ["1m"]

[source.new]
connections = 8
idle = "5s"

[provider.big]
mx = ["*.big.example", "big.example."]
domains = ["mail.example"]
connections = 7
tls = "require"

[provider.big.source.new]
connections = 6
messages = ["10/1s", "100/1h"]

[site."*.mx.big.example"]
connections = 5

[site."One.mx.big.example"]
messages_per_connection = 3

[site."*.mx.big.example".source.new]
messages_per_connection = 4

[domain."*.corp.example"]
connections = 4

[domain."a.corp.example"]
connections = 3
expire = "1d"

[domain."A.corp.example"]
pause = true

[domain."late.example"]
connections = 2
"""

HOST, ONE = "mail.big.example", "one.mx.big.example"


def configured(folder: Path, rules: str, more: str = "providers = false") -> Config:
    (folder / "shaping.toml").write_text(rules)
    (folder / "pipeline.toml").write_text(PIPELINE.format(more=more))
    return load(folder / "pipeline.toml")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configured(tmp_path, RULES)


@pytest.mark.parametrize(
    ("domain", "hosts", "source", "told"),
    [
        ("else.example", ["mx.else.example"], "", (9, "[default]")),
        ("else.example", ["mx.else.example"], "new", (8, "[source.new]")),
        ("else.example", [HOST], "", (7, "[provider.big]")),
        ("else.example", [HOST, "mx.else.example"], "", (9, "[default]")),
        ("MAIL.example.", ["mx.else.example"], "", (7, "[provider.big]")),
        ("mail.example", [], "new", (6, "[provider.big.source.new]")),
        ("else.example", ["BIG.example"], "", (7, "[provider.big]")),
        ("else.example", [ONE, "two.mx.big.example"], "new", (5, '[site."*.mx.big.example"]')),
        ("b.corp.example", [ONE], "new", (4, '[domain."*.corp.example"]')),
        ("a.corp.example", [ONE], "new", (3, '[domain."a.corp.example"]')),
        ("corp.example", [HOST], "", (7, "[provider.big]")),
    ],
)
def test_what_is_about_less_beats_what_is_about_more(
    config: Config, domain: str, hosts: list[str], source: str, told: tuple[int, str]
) -> None:
    shape = shaped(config.rules, domain, hosts, source)
    assert (shape.connections, str(shape.given["connections"].rule)) == told


def test_each_value_is_looked_up_for_itself(config: Config) -> None:
    shape = shaped(config.rules, "a.corp.example", [ONE], "new")
    assert shape == Shape(
        connections=3, messages=(Rate("10/1s"), Rate("100/1h")), messages_per_connection=4, idle=5.0, retry=(60.0,),
        expire=86_400.0, tls="require", pause=float("inf"), group=shape.group,
    )  # fmt: skip
    place = shape.given["expire"].place
    assert (place.file.name, RULES.splitlines()[place.line - 1]) == ("shaping.toml", 'expire = "1d"')
    assert RULES.splitlines()[shape.given["pause"].place.line - 1] == "pause = true"


def test_a_source_beats_a_name_and_a_name_a_pattern(config: Config) -> None:
    assert shaped(config.rules, "x.example", [ONE]).messages_per_connection == 3
    assert shaped(config.rules, "x.example", [ONE], "new").messages_per_connection == 4


def test_what_stands_later_beats_what_stands_earlier(tmp_path: Path) -> None:
    rules = '[site."*.example.net"]\nconnections = 1\n[site."mx*.net"]\nconnections = 2\n'
    assert shaped(configured(tmp_path, rules).rules, "a.example", ["mx.example.net"]).connections == 2


def test_domains_with_rules_of_their_own_have_connections_of_their_own(config: Config) -> None:
    shaping = Shaping(config.rules)
    groups = [shaping.of(domain, [HOST]).group for domain in ("x.example", "y.example", "late.example")]
    assert groups == ["", "", '[domain."late.example"]']
    assert shaping.of("x.example", [HOST]) is shaping.of("y.example", [HOST]), "equal shapes are one"
    assert shaping.of("b.corp.example", [HOST]).group == shaping.of("c.corp.example", [HOST]).group


def test_rules_about_a_message_alone_make_no_group(tmp_path: Path) -> None:
    rules = '[domain."a.example"]\nexpire = "1d"\ntls = "verify"\n'
    assert Shaping(configured(tmp_path, rules).rules).of("a.example", [HOST]).group == ""


def test_other_rules_hold_once_they_are_used(config: Config, tmp_path: Path) -> None:
    shaping = Shaping(config.rules)
    assert shaping.of("x.example", [HOST]).connections == 7
    shaping.use(configured(tmp_path, "[default]\nconnections = 1\n").rules)
    assert shaping.of("x.example", [HOST]).connections == 1


MISTAKES = """
[default]
conections = 3
[provider.nobody]
connections = 3
[provider.some]
mx = ["*.ex ample.net"]
[site."mx.example.org"]
connections = 0
tls = "requires"
retry = []
[site."mx.exa!mple.org".source.s1]
messages = ["10/1s", "20/1s"]
pause = "tomorrow"
final_timeout = "0s"
[domian."x.org"]
[source.a.b]
idle = "1s"
"""


def test_all_mistakes_are_told_with_their_lines(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, MISTAKES, "provider = 3")
    told = str(caught.value).replace(f"{tmp_path}/", "").splitlines()
    assert told == [
        "pipeline.toml:10: [shaping] provider: unknown key; did you mean providers?",
        "shaping.toml:3: [default] conections: unknown key; did you mean connections?",
        'shaping.toml:4: [provider.nobody]: says neither mx = ["*.example.net"] nor domains = ["example.org"]',
        "shaping.toml:7: [provider.some] mx: '*.ex ample.net' is no pattern; write it like \"*.example.org\"",
        "shaping.toml:9: [site.mx.example.org] connections: must be at least 1",
        "shaping.toml:10: [site.mx.example.org] tls: 'requires' is none of its values; did you mean require?",
        'shaping.toml:11: [site.mx.example.org] retry: must name at least one pause, such as ["5m"]',
        "shaping.toml:12: [site.mx.exa!mple.org]: 'mx.exa!mple.org' is no domain name: Codepoint U+0021 at position 4 "
        "of 'exa!mple' not allowed",
        "shaping.toml:13: [site.mx.exa!mple.org.source.s1] messages: has two rates over the same time",
        "shaping.toml:14: [site.mx.exa!mple.org.source.s1] pause: must be true, false, or a time, like "
        "2026-03-01T08:00:00Z",
        "shaping.toml:15: [site.mx.exa!mple.org.source.s1] final_timeout: must be longer than nothing",
        "shaping.toml:16: [domian]: unknown table; did you mean domain?",
        "shaping.toml:17: [source.a.b]: unknown key; there are: adaptive, block_timeout, command_timeout, "
        "connect_timeout, connections, data_timeout, expire, final_timeout, greeting_timeout, idle, messages, "
        "messages_per_connection, pause, pool, recipients, recipients_per_transaction, retry, tls",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[default\n", "shaping.toml:1: Expected ']' at the end of a table declaration at column 9"),
        ("default = 3\n", "shaping.toml:1: [default]: must be a table, [default]"),
        ("[source]\na = 3\n", "shaping.toml:2: [source] a: must be a table, [source.a]"),
        ('[site."*.*.*.*.example"]\nconnections = 1\n', "has more than 3 stars"),
    ],
)
def test_what_is_no_file_of_rules_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, text)
    assert told in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    (tmp_path / "pipeline.toml").write_text(PIPELINE.format(more=""))
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "pipeline.toml")
    assert "[shaping] file: cannot read" in str(caught.value)


MX = {
    "google": ["gmail-smtp-in.l.google.com", "alt1.gmail-smtp-in.l.google.com"],
    "outlook": ["outlook-com.olc.protection.outlook.com"],
    "office365": ["example-org.mail.protection.outlook.com"],
    "yahoo": ["mta5.am0.yahoodns.net", "mta6.am0.yahoodns.net"],
    "icloud": ["mx01.mail.icloud.com", "mx02.mail.icloud.com"],
    "united-internet": ["mx00.gmx.net", "mx01.gmx.net"],
    "t-online": ["mx00.t-online.de"],
    "comcast": ["mx1h1.comcast.net", "mx2h1.comcast.net"],
    "orange": ["smtp-in.orange.fr"],
    "free": ["mx1.free.fr", "mx2.free.fr"],
    "mail-ru": ["mxs.mail.ru"],
    "yandex": ["mx.yandex.ru"],
    "tencent": ["mx1.qq.com", "mx3.qq.com"],
    "netease": ["163mx01.mxmail.netease.com"],
    "proton": ["mail.protonmail.ch", "mailsec.protonmail.ch"],
    "zoho": ["mx.zoho.com", "mx2.zoho.com"],
    "mimecast": ["eu-smtp-inbound-1.mimecast.com"],
    "proofpoint": ["mxa-00123456.gslb.pphosted.com"],
    "barracuda": ["d12345a.ess.barracudanetworks.com"],
}


@pytest.mark.parametrize("name", MX)
def test_the_rules_that_come_with_us_know_large_providers(tmp_path: Path, name: str) -> None:
    rules = configured(tmp_path, "", "").rules
    assert providers_of(rules, "example.org", MX[name]) == [name]
    shape = shaped(rules, "example.org", MX[name])
    assert shape.connections is not None
    assert shape.given["connections"].place.file.name == "providers.toml"


def test_ours_are_below_the_files_own_and_can_be_switched_off(tmp_path: Path) -> None:
    rules = "[provider.google]\nconnections = 40\n"
    shape = shaped(configured(tmp_path, rules, "").rules, "gmail.com", MX["google"])
    assert (shape.connections, shape.messages_per_connection) == (40, 50)
    assert shaped(configured(tmp_path, "", "providers = false").rules, "gmail.com", MX["google"]) == Shape()
