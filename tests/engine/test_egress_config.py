"""`[egress…]`, `[tenant…]`, `[smart_host…]` and listeners behind a proxy: what they may say."""

import datetime
import ipaddress
from pathlib import Path

import pytest

from engine import Rate
from engine.config import Config, ConfigError, WarmUp, parse

BASE = """
[server]
hostname = "mx.example.org"
[listen]
smtp = "127.0.0.1:0"
[lane.inbound]
stages = ["accept", "tenant", "queue", "route"]
[lane.remote]
stages = ["resolve", "relay"]
[[route]]
to = "*"
lane = "remote"
"""

WHOLE = """
[egress.source.mx1]
ipv4 = "192.0.2.10"
ipv6 = "2001:db8::10"
ehlo = "mx1.example.org"
warm_up = { start = 2026-11-01, plan = [50, 100], days = 7, per = "site" }
[egress.source.far]
haproxy = "[2001:db8::5]:2000"
ipv6 = "2001:db8::6"
proxy_version = 1
[egress.pool.bulk]
sources = { mx1 = 3, far = 1 }
full = "wait"
[tenant.acme]
logins = ["news@acme.test", "@mail.acme.test"]
networks = ["192.0.2.0/24"]
senders = ["*.acme.test"]
weight = 5
pool = "bulk"
smart_host = "provider"
messages = ["100/1m", "10000/1d"]
[tenant.acme.campaign.spring]
recipients = ["5/1s"]
[smart_host.provider]
host = "smtp.provider.test"
"""


def read(text: str) -> Config:
    return parse(BASE + text, Path("/nowhere/pipeline.toml"))


def test_all_of_it() -> None:
    config = read(WHOLE)
    source = config.egress.sources["mx1"]
    assert source.warm_up == WarmUp(datetime.date(2026, 11, 1), (50, 100), 7, "site")
    assert (source.serves("ipv4"), source.serves("ipv6")) == (True, True)
    assert not config.egress.sources["far"].serves("ipv4")
    assert config.egress.pools["bulk"].sources == {"mx1": 3, "far": 1}
    tenant = config.tenants["acme"]
    assert tenant.messages == (Rate("100/1m"), Rate("10000/1d"))
    assert tenant.campaigns["spring"].recipients == (Rate("5/1s"),)
    assert config.smart_hosts["provider"].place == ("smtp.provider.test", 587)


def test_nothing_of_it() -> None:
    config = read("")
    assert (config.egress.sources, config.egress.pools, config.tenants, config.smart_hosts) == ({}, {}, {}, {})
    assert config.proxied == {}


LOGINS = '[tenant.a]\nlogins = ["@x.test"]\n'
SOURCE = '[egress.source.mx1]\nipv4 = "192.0.2.10"\n'
POOL = "[egress.pool.bulk]\nsources = { mx1 = 1 }\n"
HOST = '[smart_host.there]\nhost = "smtp.example.net"\n'

MISTAKES = [
    ("[egress.sorce.mx1]\n", "[egress.sorce]: unknown table; did you mean source?"),
    ('[egress.source.mx1]\nipv4 = "2001:db8::1"\n', "is no IPv4 address"),
    ('[egress.source.mx1]\nipv4 = "0.0.0.0"\n', "is no IPv4 address"),
    ('[egress.source.mx1]\nipv6 = "fe80::1%eth0"\n', "is no IPv6 address"),
    (f'{SOURCE}elho = "a.example"\n', "unknown key; did you mean ehlo?"),
    (f'{SOURCE}ehlo = "localhost"\n', "must be a whole name"),
    (f'{SOURCE}ehlo = "a b.example"\n', "is no domain name"),
    (f'{SOURCE}family = "ipv6"\n', "no address of the source is of the family ipv6"),
    (f'{SOURCE}socks5 = "p:1080"\n', "picks the address itself"),
    ('[egress.source.mx1]\nsocks5 = "p"\n', "'p' is no proxy"),
    ('[egress.source.mx1]\nhaproxy = "p:1"\n', "is told which of its addresses to use"),
    (f'{SOURCE}haproxy = "p:1"\nproxy_version = 3\n', "proxy_version: 3 is none of its values"),
    ('[egress.source.mx1]\nsocks5 = "p:1"\nsocks5_login_file = "no"\n', "no such file"),
    (f"{SOURCE}warm_up = {{ start = 2026-11-01, plan = [] }}\n", "plan must name how many"),
    (f"{SOURCE}warm_up = {{ start = 2026-11-01, plan = [5, 4] }}\n", "plan must not fall"),
    (f'{SOURCE}warm_up = {{ start = "soon", plan = [5] }}\n', "warm_up"),
    (f"{SOURCE}warm_up = {{ start = 2026-11-01, plan = [5], days = 0 }}\n", "days must be at least 1"),
    ('[egress.source."m x"]\nipv4 = "192.0.2.10"\n', "a name has letters"),
    ("[egress.pool.bulk]\n", "names none; write them with their shares"),
    (f"{SOURCE}[egress.pool.bulk]\nsources = {{ mx2 = 1 }}\n", "there is no [egress.source.mx2]; did you mean mx1?"),
    (f"{SOURCE}[egress.pool.bulk]\nsources = {{ mx1 = 0 }}\n", "the share of mx1 must be at least 1"),
    (f'{SOURCE}{POOL}family = "ipv6"\n', "mx1 cannot reach servers by ipv6"),
    (f'{SOURCE}{POOL}[stage.relay]\npool = "bluk"\n', "there is no [egress.pool.bluk]; did you mean bulk?"),
    ("[tenant.acme]\n", "no mail is its own"),
    ("[tenant.acme]\nheader = true\nweight = 0\n", "must be from 1 to 1000"),
    ('[tenant.acme]\nheader = true\npool = "x"\n', "there is no [egress.pool.x]"),
    ('[tenant.acme]\nheader = true\nsmart_host = "x"\n', "there is no [smart_host.x]"),
    ('[tenant.acme]\nlogins = ["ann"]\n', "'ann' is no account"),
    ('[tenant.acme]\nsenders = ["a@b"]\n', "'a@b' is no domain"),
    ('[tenant.acme]\nheader = true\nmessages = ["1/1m", "2/60s"]\n', "has two rates over the same time"),
    ("[tenant.acme]\nheader = true\ncampaigns = {}\n", "unknown key; write [tenant.acme.campaign.NAME]"),
    ('[tenant.acme]\nheader = true\n[tenant.acme.campaign.a]\npool = "x"\n', "there is no [egress.pool.x]"),
    ("[tenant.acme]\nheader = true\n[tenant.acme.campaign.a]\nweight = 2\n", "unknown key"),
    (
        '[tenant.a]\nsenders = ["x.test"]\n[tenant.b]\nsenders = ["x.test"]\n',
        "x.test belongs to the tenant a already",
    ),
    (f'{LOGINS}[tenant.a.campaign.c]\nlogins = ["ann"]\n', "'ann' is no account"),
    (f'{LOGINS}[tenant.a.campaign.c]\nlogins = ["b@y.test"]\n', "b@y.test is none of the tenant's logins"),
    (
        f'{LOGINS}[tenant.a.campaign.c]\nlogins = ["b@x.test"]\n[tenant.a.campaign.d]\nlogins = ["b@x.test"]\n',
        "b@x.test belongs to the campaign c already",
    ),
    ('[smart_host.there]\nhost = "a:b"\n', "'a:b' is no host"),
    ("[smart_host.there]\n", "host: is required"),
    (f"{HOST}port = 70000\n", "must be one of 1 to 65535"),
    (f'{HOST}login_file = "no"\n', "no such file"),
    (f'{HOST}tls = "never"\n', "is for this machine alone"),
    (f'{HOST}certificate = "/etc/hostname"\n', "certificate and key go together"),
]


@pytest.mark.parametrize(("text", "problem"), MISTAKES, ids=[problem for _, problem in MISTAKES])
def test_mistakes(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert problem in str(caught.value)


def test_a_smart_host_on_this_machine_may_do_without_tls() -> None:
    assert read('[smart_host.here]\nhost = "127.0.0.1"\ntls = "never"\n').smart_hosts["here"].place == ("127.0.0.1", 25)


@pytest.mark.parametrize(
    "table", [SOURCE, HOST, "[tenant.acme]\nheader = true\n"], ids=["egress", "smart_host", "tenant"]
)
def test_tables_that_no_stage_acts_on(table: str) -> None:
    base = BASE.replace('"tenant", ', "").replace('["resolve", "relay"]', '["enqueue"]')
    with pytest.raises(ConfigError, match="no lane has a stage that does what it says"):
        parse(base + table, Path("/nowhere/pipeline.toml"))


def listening(value: str) -> Config:
    return parse(BASE.replace('smtp = "127.0.0.1:0"', f"smtp = {value}"), Path("/nowhere/pipeline.toml"))


def test_a_listener_behind_a_proxy() -> None:
    config = listening('{ address = "127.0.0.1:2525", proxy_networks = ["10.0.0.0/8"] }')
    assert config.listen == {"smtp": ("127.0.0.1", 2525)}
    assert config.proxied == {"smtp": (ipaddress.ip_network("10.0.0.0/8"),)}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ('{ address = "127.0.0.1:2525" }', "proxy_networks must name who speaks the PROXY protocol"),
        ('{ address = "127.0.0.1:2525", proxy_networks = [] }', "proxy_networks must name"),
        ('{ proxy_networks = ["10.0.0.0/8"] }', "is no address"),
        ('{ address = "127.0.0.1:2525", proxy_networks = ["10.0.0.1/8"] }', "has host bits set"),
        ('{ adress = "127.0.0.1:2525", proxy_networks = ["10.0.0.0/8"] }', "did you mean address?"),
    ],
)
def test_mistakes_of_a_listener_behind_a_proxy(value: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        listening(value)
    assert problem in str(caught.value)
