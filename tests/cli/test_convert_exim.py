"""`postroad convert` of Exim's configuration: a pipeline.toml that is good, and what was left out, line by line."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bench.packages import PEERS, Package
from engine.cli import main
from engine.cli.convert.exim import convert
from engine.cli.convert.exim_conf import EximConf, logical_lines, parted
from engine.config import Config, load
from engine.directory import Embedded
from tests.support.programs import Certificates

EXIM = Package("exim", "/usr/sbin/exim4", ("Debian-exim",))
DEBIAN = PEERS / "exim" / "etc" / "exim4"

TYPICAL = r"""
# A mail server of a small firm
DOMAINS = firma.test : other.test
.ifdef NEVER
primary_hostname = wrong.test
.else
primary_hostname = mx.firma.test
.endif
UP = smtp.up.test
domainlist local_domains = @ : DOMAINS : lsearch;/etc/exim4/domains
domainlist relay_to_domains = backup.test
hostlist relay_from_hosts = <; 127.0.0.1 ; ::1 ; 192.0.2.0/24 ; box.firma.test
qualify_domain = firma.test
keep_environment =
daemon_smtp_ports = smtp : 587 : 465
tls_on_connect_ports = 465
tls_advertise_hosts = *
tls_certificate = FOLDER/tls/cert.pem
tls_privatekey = FOLDER/tls/key.pem
message_size_limit = 20M
smtp_accept_max = 100
hide strange_option = secret
acl_smtp_rcpt = acl_check_rcpt

begin acl
acl_check_rcpt:
  accept hosts = :
  deny message = "listed at \
                  # a comment in between
                  $dnslist_domain"
       dnslists = zen.spamhaus.org=127.0.0.2,127.0.0.3 : bl.spamcop.net
  warn dnslists = dbl.example/$sender_address_domain
  deny ratelimit = 100 / 1h / strict
  accept hosts = +relay_from_hosts
  accept authenticated = *
  require domains = +local_domains : +relay_to_domains
  require verify = recipient
  accept
acl_unused:
  deny condition = ${if never}

begin routers
special:
  driver = manualroute
  domains = inner.test : *.inner.test
  transport = remote_smtp
  route_list = * 192.0.2.9::2525
  no_more
hubbed:
  driver = manualroute
  domains = lsearch;/etc/exim4/hubbed
  route_data = ${lookup{$domain}lsearch{/etc/exim4/hubbed}}
  transport = to_store
by_sender:
  driver = manualroute
  senders = *@boss.test
  route_list = * boss.test
  transport = remote_smtp
smarthost:
  driver = manualroute
  domains = ! +local_domains
  transport = smarthost_smtp
  route_list = "* UP byname"
system_aliases:
  driver = redirect
  domains = firma.test
  data = ${lookup{$local_part}lsearch*{/etc/aliases}}
virtual:
  driver = redirect
  domains = +local_domains
  data = ${lookup{$local_part}lsearch{/etc/exim4/virtual.$domain}}
userforward:
  driver = redirect
  file = $home/.forward
  check_local_user
localuser:
  driver = accept
  domains = firma.test
  local_parts = lsearch;/etc/exim4/users
  local_part_suffix = -*
  local_part_suffix_optional
  transport = store

begin transports
remote_smtp:
  driver = smtp
smarthost_smtp:
  driver = smtp
  port = submission
  hosts_require_tls = *
  dkim_domain = firma.test
  dkim_selector = s1
  dkim_private_key = /etc/exim4/dkim.key
to_store:
  driver = smtp
  protocol = lmtp
store:
  driver = lmtp
  socket = /run/dovecot/lmtp

begin retry
*   *   F,2h,30m; G,16h,1h,2; F,4d,6h
slow.test  *  F,1d,1h

begin rewrite
*@old.test  $1@firma.test  Ffr

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${lookup{$auth2}lsearch{/etc/exim4/passwd}}
up:
  driver = plaintext
  public_name = PLAIN
  client_send = ^me^s3cret
"""

FILES = {
    "domains": "third.test: yes\n# none\n",
    "hubbed": "store.test: lmtp.inner.test::2424\n",
    "aliases": 'root: ann\npostmaster: root\nteam: ann,\n  bob@firma.test\n*: ann\nlist: "|/usr/bin/list"\n',
    "virtual.other.test": "info: ann@firma.test\n",
    "users": "ann: x\nbob: y\n",
}


def made(folder: Path, text: str = TYPICAL, name: str = "exim4.conf") -> tuple[Result, Path]:
    """The result of the command on a copy of /etc/exim4, and where it wrote."""
    Certificates(folder / "tls")
    for file, content in FILES.items():
        (folder / file).write_text(content)
    (folder / name).write_text(text.replace("FOLDER", str(folder)))
    return CliRunner().invoke(main, ["convert", str(folder / name), str(folder / "new")]), folder / "new"


@pytest.fixture
def converted(tmp_path: Path) -> tuple[Config, Result]:
    done, folder = made(tmp_path)
    assert done.exit_code == 1, done.output
    return load(folder / "pipeline.toml"), done


def test_what_can_be_said_is_said(converted: tuple[Config, Result]) -> None:
    config, _ = converted
    assert config.server.hostname == "mx.firma.test"
    assert config.domains.local == ("mx.firma.test", "firma.test", "other.test", "third.test")
    assert {name: port for name, (_, port) in config.listen.items()} == {
        "smtp": 25, "submission": 587, "submissions": 465, "imaps": 993,
    }  # fmt: skip
    assert config.tls is not None
    assert config.tls.key.name == "key.pem"
    accept, relay = (config.stages[name].settings for name in ("accept", "relay"))
    assert list(map(str, accept["relay_networks"])) == ["127.0.0.1/32", "::1/128", "192.0.2.0/24"]
    assert (accept["max_size"], accept["max_connections"]) == (20 * 1024**2, 100)
    assert (relay["tls"], relay["expire"]) == ("require", 4 * 86_400)
    assert relay["retry"] == (1800, 1800, 1800, 1800, 3600, 7200, 14_400, 28_800, 21_600)
    assert config.stages["resolve"].settings["smart_host"] == "smtp.up.test:587"
    assert config.smart_hosts["upstream"].place == ("smtp.up.test", 587)
    lists: list[Any] = list(config.stages["dnsbl"].settings["lists"])
    assert [(one.zone, one.weight, list(one.of)) for one in lists] == [
        ("zen.spamhaus.org", 1.0, ["client"]), ("bl.spamcop.net", 1.0, ["client"]), ("dbl.example", 0.0, ["sender"]),
    ]  # fmt: skip
    assert list(lists[0].answers) == ["127.0.0.2", "127.0.0.3"]


def test_lanes_and_routes(converted: tuple[Config, Result]) -> None:
    config, _ = converted
    lanes = {lane.name: list(lane.stages) for lane in config.lanes}
    assert lanes["inbound"] == ["accept", "dnsbl", "authenticate", "queue", "route"]
    assert lanes["outbound"] == ["submit", "queue", "route"]
    rules = [(rule.to, rule.lane) for rule in config.stages["route"].settings["rules"]]
    assert rules == [
        ("inner.test", "route_1"), ("*.inner.test", "route_1"), ("store.test", "route_2"), ("local", "local"),
        ("*", "remote"),
    ]  # fmt: skip
    assert config.stages["route_1_way"].settings["smart_host"] == "192.0.2.9:2525"
    assert config.stages["route_2_way"].settings["host"] == "lmtp.inner.test:2424"
    assert config.stages["local_way"].settings["socket"] == "/run/dovecot/lmtp"
    assert config.stages["route"].settings["subaddress"] == "-"


def test_the_password_is_for_us_alone(tmp_path: Path) -> None:
    _, folder = made(tmp_path)
    assert (folder / "relay.login").read_text() == "me\ns3cret\n"
    assert "s3cret" not in (folder / "pipeline.toml").read_text() + (folder / "notes.txt").read_text()


@pytest.mark.parametrize(
    "part",
    [
        "exim4.conf:33: acl_check_rcpt: deny ratelimit = 100 / 1h / strict was left out",
        "the router by_sender was left out: it has senders = *@boss.test",
        "relay_to_domains = backup.test: a domain that is only passed on", "box.firma.test is no network",
        "strange_option: was left out", "slow.test", "*@old.test",
        "router userforward: $home/.forward", "the alias list@firma.test leads to a program",
        "put the key /etc/exim4/dkim.key into dkim/firma.test/signing/s1.pem", "the authenticator plain",
    ],
)  # fmt: skip
def test_what_was_left_out_is_told(converted: tuple[Config, Result], part: str) -> None:
    config, done = converted
    assert part in (config.path.parent / "notes.txt").read_text()
    assert part in done.output


def test_what_needs_no_word_has_none(converted: tuple[Config, Result]) -> None:
    _, done = converted
    for silent in ("qualify_domain", "tls_on_connect", "acl_unused", "relay_from_hosts =", "hubbed", "authenticated"):
        assert silent not in done.output


def test_the_script_fills_the_directory(tmp_path: Path) -> None:
    _, folder = made(tmp_path)
    script = (folder / "directory.sh").read_text()
    assert "account add ann@firma.test\n" in script
    assert "account add bob@firma.test\n" in script
    for line in [line for line in script.splitlines() if line.startswith("$POSTROAD alias")]:
        done = CliRunner().invoke(main, ["-c", str(folder / "pipeline.toml"), *line.split()[1:]])
        assert done.exit_code == 0, (line, done.output)
    config = load(folder / "pipeline.toml")
    with Embedded.open(config.server.data / "directory", config.domains.local) as directory:
        found = {one.address: sorted(one.targets) for one in directory.aliases()}
    assert found["root@firma.test"] == ["ann@firma.test"]
    assert found["team@firma.test"] == ["ann@firma.test", "bob@firma.test"]
    assert found["info@other.test"] == ["ann@firma.test"]
    assert found["@firma.test"] == ["ann@firma.test"]
    assert "root@other.test" not in found


# -- as Exim and Debian have them


ANSWERS = """
dc_eximconfig_configtype='{kind}'
dc_other_hostnames='firma.test ; other.test'
dc_local_interfaces='127.0.0.1 ; ::1'
dc_relay_domains=''
dc_relay_nets='192.168.0.0/16'
dc_smarthost='Smtp.Up.test::587'
dc_readhost='firma.test'
dc_use_split_config='{split}'
dc_hide_mailname='false'
dc_localdelivery='maildir_home'
"""


@pytest.mark.peer
@pytest.mark.parametrize("split", ["true", "false"])
@pytest.mark.parametrize("kind", ["internet", "smarthost", "satellite", "local"])
def test_what_debian_s_questions_lead_to(tmp_path: Path, kind: str, split: str) -> None:
    if why := EXIM.missing():
        pytest.skip(why)
    shutil.copytree(DEBIAN / "conf.d", tmp_path / "conf.d")
    shutil.copy(DEBIAN / "exim4.conf.template", tmp_path)
    (tmp_path / "mailname").write_text("firma.test\n")
    (tmp_path / "passwd.client").write_text("# none\nsmtp.up.test:Me:S3:cret\n")
    done, folder = made(tmp_path, ANSWERS.format(kind=kind, split=split), "update-exim4.conf.conf")
    assert done.exit_code == 1, done.output
    config = load(folder / "pipeline.toml")
    assert config.domains.local == ("firma.test", "other.test")
    assert config.listen["smtp"] == ("127.0.0.1", 25)
    assert list(map(str, config.stages["accept"].settings["relay_networks"])) == [
        "192.168.0.0/16", "127.0.0.1/32", "::1/128",
    ]  # fmt: skip
    by_others = kind in ("smarthost", "satellite")
    assert config.stages["resolve"].settings.get("smart_host", "") == ("smtp.up.test:587" if by_others else "")
    assert (folder / "relay.login").exists() is by_others
    assert "alias add root@other.test ann@firma.test\n" in (folder / "directory.sh").read_text()
    if by_others:
        assert (folder / "relay.login").read_text() == "Me\nS3:cret\n"


@pytest.mark.peer
def test_what_exim_prints_of_itself_is_understood(tmp_path: Path) -> None:
    """The same comes of a file and of what Exim says that it has read."""
    if why := EXIM.missing():
        pytest.skip(why)
    _, ours = made(tmp_path, TYPICAL.replace("hide strange_option = secret\n", ""))
    files = {"exim4/exim4.conf": (tmp_path / "exim4.conf").read_text()}
    command = EXIM.command(tmp_path, EXIM.program, "-bP", "config", files=files)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "begin routers" in said
    (tmp_path / "said").mkdir()
    for name in FILES:
        shutil.copy(tmp_path / name, tmp_path / "said")
    done, folder = made(tmp_path / "said", said)
    assert done.exit_code == 1, done.output
    assert (folder / "pipeline.toml").read_text() == (ours / "pipeline.toml").read_text()
    assert (folder / "directory.sh").read_text() == (ours / "directory.sh").read_text()


# -- reading


def test_macros_conditions_and_files(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("ONE == 2\nb = ONE\n")
    text = (
        "ONE = 1\nONE_MORE = ONE+1\na = ONE_MORE\n.include_if_exists /none\n.include /x/more\n.ifdef NONE _HAVE_TLS\n"
        "c = 3\n.ifndef ONE\nd = 4\n.elifdef NONE\nd = 5\n.else\nd = 6\n.endif\n.else\nc = 7\n.endif\n"
        "no_e\nf\n.include /nowhere\n"
    )
    conf = EximConf(text, "x", tmp_path)
    assert {name: one.value for name, one in conf.main.items()} == {
        "a": "1+1", "b": "2", "c": "3", "d": "6", "e": "false", "f": "true",
    }  # fmt: skip
    assert conf.main["b"].place == "more:2"
    assert conf.troubles == ["x:20: /nowhere cannot be read: No such file or directory"]


def test_a_file_that_includes_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "loop").write_text("a = 1\n.include loop\n")
    assert EximConf(".include loop\n", "x", tmp_path)["a"] == "1"


def test_logical_lines() -> None:
    text = "a = 1 \\\n  # within\n   2\n\n  # none\nb = 3\nc = \\"
    assert list(logical_lines(text)) == [(1, "a = 1 2"), (6, "b = 3"), (7, "c = ")]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("a : b:c ::: d", None),
        ("a : b:c", ["a", "b", "c"]),
        ("127.0.0.1 : ::::1", ["127.0.0.1", "::1"]),
        ("<; 127.0.0.1 ; ::1", ["127.0.0.1", "::1"]),
        (" : ", []),
    ],
)
def test_lists(text: str, items: list[str] | None) -> None:
    found = parted(text)
    assert found == items if items is not None else found[:2] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        "begin acl\n", "begin routers\nx:\n", "begin routers\nx:\n driver = iplookup\nbegin transports\n",
        'begin acl\na:\n deny message = "open\nbegin routers\n', "begin retry\n* * X\n* * F,2h\n* * G,1h,0s,2\n",
        "local_interfaces = 192.0.2.1.587 : [2001:db8::1]:25 : ::1\nbegin acl\n",
        "tls_certificate = ${if x}\nmessage_size_limit = ${x}\nbegin acl\n",
        "domainlist local_domains = dsearch;/d : !a.test : +local_domains\nbegin acl\n", ".endif\n.else\nbegin acl\n",
        "begin routers\nx:\n driver = manualroute\n route_list = * a.test:b.test ; ^x c ; \n route_data = ${run{x}}\n",
        "begin routers\nx:\n driver = redirect\n data = ${lookup{$local_part}lsearch{/none}}\n",
    ],
)  # fmt: skip
def test_whatever_there_is_the_file_is_good(tmp_path: Path, text: str) -> None:
    found = convert(EximConf(f"primary_hostname = mx.firma.test\n{text}", "exim.conf", tmp_path))
    (tmp_path / "pipeline.toml").write_text(found.config)
    assert load(tmp_path / "pipeline.toml")
