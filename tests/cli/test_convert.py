"""`postroad convert`: a main.cf becomes a pipeline.toml that is good, and says what was left out."""

import stat
import subprocess
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.cli.convert.converted import convert
from engine.cli.convert.main_cf import MainCf, aliases, seconds, settings, table
from engine.config import Config, load
from engine.directory import Embedded
from tests.support.programs import Certificates, needs, path_of

TYPICAL = """
# See /usr/share/postfix/main.cf.dist
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
readme_directory = no
compatibility_level = 3.6

smtpd_tls_cert_file = {folder}/tls/cert.pem
smtpd_tls_key_file={folder}/tls/key.pem
smtpd_tls_security_level=may
smtp_tls_security_level = dane
smtp_dns_support_level = dnssec

myhostname = mx.firma.test
mydomain = firma.test
myorigin = /etc/mailname
mydestination = $myhostname, $mydomain,
    localhost.$mydomain, localhost
virtual_alias_domains = other.test
virtual_alias_maps = hash:/etc/postfix/virtual
alias_maps = hash:/etc/aliases
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128, 192.0.2.7
relayhost = [smtp.up.test]:587
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
transport_maps = texthash:/etc/postfix/transport
message_size_limit = 20480000
maximal_queue_lifetime = 3d
minimal_backoff_time = 300s
maximal_backoff_time = 1h
recipient_delimiter = +
inet_interfaces = all
smtpd_milters = inet:localhost:8891, unix:opendmarc/opendmarc.sock
milter_default_action = accept
smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination,
    reject_rbl_client zen.spamhaus.org=127.0.0.[2..11], reject_rbl_client bl.spamcop.net
    check_policy_service unix:private/policyd, reject_unknown_client_hostname
header_checks = regexp:/etc/postfix/header_checks
strange_setting = 1
"""

MAPS = {
    "virtual": "other.test\tanything\ninfo@other.test ann@firma.test\n@other.test\tann@firma.test, bob\n",
    "aliases": "# people\npostmaster: root\nroot:\tann\nlist: |/usr/bin/list\nteam: ann,\n  bob@firma.test\n",
    "sasl_passwd": "[smtp.up.test]:587 me:s3:cret\n",
    "transport": "store.test lmtp:unix:/run/store\n.inner.test smtp:[192.0.2.9]:2525\nboss@firma.test\trelay:[a.test]\n"
    "old.test error:gone\n*  smtp:\n",
}


def made(folder: Path, text: str = TYPICAL) -> tuple[Result, Path]:
    """The result of the command on a copy of /etc/postfix, and where it wrote."""
    Certificates(folder / "tls")
    for name, content in MAPS.items():
        (folder / name).write_text(content)
    (folder / "main.cf").write_text(text.replace("{folder}", str(folder)))
    return CliRunner().invoke(main, ["convert", str(folder / "main.cf"), str(folder / "new")]), folder / "new"


@pytest.fixture
def converted(tmp_path: Path) -> tuple[Config, Result]:
    done, folder = made(tmp_path)
    assert done.exit_code == 1, done.output
    return load(folder / "pipeline.toml"), done


def test_what_can_be_said_is_said(converted: tuple[Config, Result]) -> None:
    config, _ = converted
    assert config.server.hostname == "mx.firma.test"
    assert config.domains.local == ("mx.firma.test", "firma.test", "other.test")
    assert config.listen["smtp"] == ("::", 25)
    assert config.tls is not None
    assert config.tls.certificate.name == "cert.pem"
    accept, relay = (config.stages[name].settings for name in ("accept", "relay"))
    networks = ("127.0.0.0/8", "::ffff:7f00:0/104", "::1/128", "192.0.2.7/32")
    assert tuple(accept["relay_networks"]) == tuple(map(ip_network, networks))
    assert accept["max_size"] == 20_480_000
    assert (relay["tls"], relay["expire"]) == ("opportunistic", 3 * 86_400)
    assert relay["retry"] == (300, 600, 1200, 2400, 3600)
    assert config.stages["resolve"].settings["smart_host"] == "smtp.up.test:587"
    assert config.smart_hosts["upstream"].place == ("smtp.up.test", 587)
    lists: list[Any] = list(config.stages["dnsbl"].settings["lists"])
    assert [one.zone for one in lists] == ["zen.spamhaus.org", "bl.spamcop.net"]
    assert '"127.0.0.2-11"' in config.text


def test_lanes_and_routes(converted: tuple[Config, Result]) -> None:
    config, _ = converted
    lanes = {lane.name: list(lane.stages) for lane in config.lanes}
    assert lanes["inbound"] == ["accept", "dnsbl", "authenticate", "milter_1", "milter_2", "queue", "route"]
    assert lanes["outbound"] == ["submit", "milter_1", "milter_2", "queue", "route"]
    rules = [(rule.to, rule.lane) for rule in config.stages["route"].settings["rules"]]
    assert rules == [
        ("boss@firma.test", "transport_3"), ("store.test", "transport_1"), ("*.inner.test", "transport_2"),
        ("local", "local"), ("*", "remote"),
    ]  # fmt: skip
    assert config.stages["transport_1_way"].settings["socket"] == "/run/store"
    assert config.stages["transport_2_way"].settings["smart_host"] == "192.0.2.9:2525"
    assert lanes["transport_3"] == ["sign", "transport_3_way", "relay"]
    assert config.stages["milter_2"].settings["connect"] == "unix:/var/spool/postfix/opendmarc/opendmarc.sock"
    assert config.stages["milter_1"].on_error == "skip"


def test_the_password_is_for_us_alone(tmp_path: Path) -> None:
    _, folder = made(tmp_path)
    assert (folder / "relay.login").read_text() == "me\ns3:cret\n"
    assert stat.S_IMODE((folder / "relay.login").stat().st_mode) == 0o600
    assert "s3:cret" not in (folder / "pipeline.toml").read_text()


def test_what_was_left_out_is_told(converted: tuple[Config, Result]) -> None:
    config, done = converted
    notes = (config.path.parent / "notes.txt").read_text()
    for part in (
        "old.test error:gone was left out", "check_policy_service unix:private/policyd was left out",
        "reject_unknown_client_hostname was left out", "header_checks: write a filter", "strange_setting: was left out",
        "the alias list leads to a program", "smtp_dns_support_level",
    ):  # fmt: skip
        assert part in notes, part
        assert part in done.output
    for silent in ("biff", "smtpd_banner", "compatibility_level", "permit_mynetworks", "mydestination"):
        assert silent not in notes


def test_the_script_fills_the_directory(tmp_path: Path) -> None:
    _, folder = made(tmp_path)
    script = (folder / "directory.sh").read_text()
    for line in [line for line in script.splitlines() if line.startswith("$POSTROAD")]:
        words = line.split()[1:]
        done = CliRunner().invoke(main, ["-c", str(folder / "pipeline.toml"), *words])
        assert done.exit_code == 0, (line, done.output)
    config = load(folder / "pipeline.toml")
    with Embedded.open(config.server.data / "directory", config.domains.local) as directory:
        found = {alias.address: sorted(alias.targets) for alias in directory.aliases()}
    assert found["info@other.test"] == ["ann@firma.test"]
    assert found["root@mx.firma.test"] == ["ann@mx.firma.test"]
    assert found["team@mx.firma.test"] == ["ann@mx.firma.test", "bob@firma.test"]
    assert "@other.test" in found


def test_nothing_is_written_over(tmp_path: Path) -> None:
    _, folder = made(tmp_path)
    again = CliRunner().invoke(main, ["convert", str(tmp_path / "main.cf"), str(folder)])
    assert again.exit_code == 1
    assert "is there already" in again.output


@needs("postconf")
def test_what_postconf_prints_is_understood(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        "myhostname = mx.firma.test\nmydestination = firma.test\nmessage_size_limit = 9000\n"
    )
    (tmp_path / "master.cf").write_text("")
    said = subprocess.run(
        [path_of("postconf"), "-c", str(tmp_path), "-n"], capture_output=True, text=True, check=True
    ).stdout
    done = CliRunner().invoke(main, ["convert", "-", str(tmp_path / "new")], input=said)
    config = load(tmp_path / "new" / "pipeline.toml")
    assert config.domains.local == ("firma.test",)
    assert config.stages["accept"].settings["max_size"] == 9000
    assert "smtpd_tls_cert_file is not there" in done.output


@pytest.mark.parametrize(
    "text",
    [
        "", "myhostname = h.test\nmydestination =\n", "relayhost = up.test\n", "inet_interfaces = loopback-only\n",
        "mailbox_transport = lmtp:unix:/run/dovecot/lmtp\nrecipient_delimiter = -\n",
        "virtual_transport = lmtp:inet:store.test:24\nmyhostname = a.b\n",
        "inet_protocols = ipv4\nmynetworks = !10.0.0.1\n",
        "smtpd_milters = { inet:127.0.0.1:11332, connect_timeout=10s }\n",
        "message_size_limit = 0\nsmtp_tls_security_level = encrypt\n", "mydestination = pcre:/etc/domains, a.test\n",
    ],
)  # fmt: skip
def test_whatever_there_is_the_file_is_good(tmp_path: Path, text: str) -> None:
    found = convert(MainCf(text if "myhostname" in text else f"{text}myhostname = mx.firma.test\n", tmp_path))
    (tmp_path / "pipeline.toml").write_text(found.config)
    assert load(tmp_path / "pipeline.toml")


# -- reading


def test_continued_lines_comments_and_the_last_one() -> None:
    text = "a = 1\n# b = 2\nc =\n  3,\n# within\n\n  4\na=5\nnonsense\n"
    assert dict(settings(text)) == {"a": "5", "c": "3, 4"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x = $y-${y}-$(y)\ny = 1", "1-1-1"),
        ("x = $$y", "$y"),
        ("x = ${y?yes}${y:no}\ny = 1", "yes"),
        ("x = ${y?yes}${y:no}", "no"),
        ("x = $mydomain\nmyhostname = a.b.test", "b.test"),
        ("x = $nothing.", "."),
    ],
)
def test_values_that_name_others(text: str, value: str) -> None:
    assert MainCf(text, Path())["x"] == value


def test_a_circle_of_values_ends() -> None:
    assert "$" in MainCf("a = $b\nb = $a", Path())["a"]


def test_tables() -> None:
    assert dict(table("Key value with words\nother\tx\n  more\n#no\n")) == {
        "key": "value with words",
        "other": "x more",
    }
    assert dict(aliases('"odd name": a, b\nx:y')) == {"odd name": "a, b", "x": "y"}


def test_times() -> None:
    assert [seconds(text, "d") for text in ("5", "5h", "300s")] == [432_000, 18_000, 300]
    with pytest.raises(ValueError, match="is no time"):
        seconds("soon", "s")
