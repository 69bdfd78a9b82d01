"""`postroad init` by its options: what it writes, whose it is, and what it leaves alone."""

import os
import pwd
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.cli.init import writing
from engine.cli.init.answers import Acme, Answers, Files, Ports, Relay, SelfSigned
from engine.cli.init.template import SHIPPED, filled
from engine.config import load
from engine.directory import Embedded
from engine.net.certificates import Pair, read_certificate
from tests.support.background import dns
from tests.support.programs import Certificates, needs, path_of
from tests.support.server import PASSWORD, ROOT, until

NAMES = ("--hostname", "mail.firma.test", "--domain", "firma.test")
NOBODY = pwd.getpwnam("nobody")


def run(folder: Path, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["init", str(folder), *arguments], input=stdin)


def made(folder: Path, *arguments: str, stdin: str = "") -> str:
    done = run(folder, *NAMES, "--yes", *arguments, stdin=stdin)
    assert done.exit_code == 0, done.output
    return done.stdout


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# -- what is written


def test_a_configuration_of_defaults(tmp_path: Path) -> None:
    said = made(tmp_path / "new")
    config = load(tmp_path / "new" / "pipeline.toml")
    assert config.server.hostname == "mail.firma.test"
    assert config.domains.local == ("firma.test",)
    assert config.acme is not None
    assert (config.acme.email, config.acme.domains) == ("postmaster@firma.test", ("mail.firma.test",))
    assert {name: port for name, (_, port) in config.listen.items()} == {
        "smtp": 25, "acme_http": 80, "submissions": 465, "submission": 587, "imaps": 993, "managesieve": 4190,
    }  # fmt: skip
    password = said.partition("written nowhere else: ")[2].split()[0]
    assert len(password) >= 20
    with Embedded.open(config.server.data / "directory", config.domains.local) as directory:
        assert directory.verify("postmaster@firma.test", password) is not None
        assert directory.verify("postmaster@firma.test", password + "x") is None
    assert not any(password.encode() in path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file())
    assert f"postroad -c {tmp_path}/new/pipeline.toml run" in said


def test_the_comments_of_the_shipped_file_are_there(tmp_path: Path) -> None:
    made(tmp_path)
    text = (tmp_path / "pipeline.toml").read_text()
    assert "example.org" not in text
    assert "picks a lane for each recipient, by the [[route]] rules below" in text
    assert '# domain = "firma.test"' in text  # behind [srs]
    assert (tmp_path / "filters" / "tag_external.py").is_file()


@pytest.mark.parametrize("tls", [Acme("a@b.test"), Acme(), SelfSigned(), "files"], ids=["mail", "acme", "own", "files"])
@pytest.mark.parametrize("relay", [None, Relay("smtp.up.test", 465, "me", "pw"), Relay("192.0.2.1", 25)], ids=str)
@pytest.mark.parametrize("scanners", [{}, {"spam": ""}, {"rspamd": "", "clamav": "/run/c"}], ids=["no", "own", "two"])
def test_what_can_be_answered_makes_a_good_file(tmp_path: Path, tls: Any, relay: Any, scanners: Any) -> None:
    """Each as a part of the file that comes along: what is changed there must be changed in the command too."""
    if tls == "files":
        certificates = Certificates(tmp_path / "given")
        tls = Files(certificates.certificate, certificates.key)
    answers = Answers(
        hostname="mail.firma.test", domains=("firma.test", "xn--bcher-kva.test"), account="ann@firma.test",
        password="secret", made=False, tls=tls, relay=relay, scanners=scanners, ports=Ports("[::1]", 2000),
    )  # fmt: skip
    writing.write_all(tmp_path / "new", answers)
    config = load(tmp_path / "new" / "pipeline.toml")
    assert config.domains.local == answers.domains
    assert config.listen["smtp"] == ("::1", 2025)
    assert ("scan" in config.stages) is bool(scanners)
    if scanners:
        assert all("scan" in lane.stages for lane in config.lanes if lane.name in ("inbound", "outbound"))
        assert config.stages["scan"].settings.keys() == scanners.keys()
    if relay is not None:
        assert config.stages["resolve"].settings["smart_host"] == f"{relay.host}:{relay.port}"
        assert bool(config.smart_hosts) is bool(relay.login)
        assert all(host.place == (relay.host, relay.port) for host in config.smart_hosts.values())


def test_nothing_of_a_name_can_end_its_string() -> None:
    answers = Answers(
        hostname="h.test", domains=("d.test",), account="a@d.test", password="", made=False,
        tls=Files(Path('/a"\n[server]\nuser = "x'), Path("/\x7f\\")), data=Path('/"'),
    )  # fmt: skip
    text = filled((SHIPPED / "pipeline.toml").read_text(), answers)
    assert r'certificate = "/a\"\n[server]\nuser = \"x"' in text
    assert r'key = "/\u007f\\"' in text
    assert r'data = "/\""' in text


def test_where_strangers_may_seem_to_be_near_nobody_relays_without_a_login(tmp_path: Path) -> None:
    answers = Answers(
        hostname="h.test", domains=("d.test",), account="a@d.test", password="secret", made=False, tls=SelfSigned(),
        trust_loopback=False,
    )  # fmt: skip
    writing.write_all(tmp_path / "new", answers)
    assert load(tmp_path / "new" / "pipeline.toml").stages["accept"].settings["relay_networks"] == ()


def test_a_changed_template_is_noticed() -> None:
    text = (SHIPPED / "pipeline.toml").read_text().replace("imap = ", "imap  = ")
    answers = Answers(
        hostname="h.test", domains=("d.test",), account="a@d.test", password="", made=False, tls=SelfSigned()
    )
    with pytest.raises(LookupError, match="begin with imap = "):
        filled(text, answers)


def test_the_records_are_those_that_the_check_wants(tmp_path: Path) -> None:
    made(tmp_path, "--tls", "self-signed", "--address", "192.0.2.25", "--domain", "other.test")
    records = (tmp_path / "dns-records.txt").read_text()
    assert "TLSA 3 1 1" in records
    assert "mta-sts.txt" in records
    assert "25.2.0.192.in-addr.arpa. IN PTR mail.firma.test." in records
    assert "_submissions._tcp.other.test. IN SRV 0 1 465 mail.firma.test." in records
    assert stat.S_IMODE((tmp_path / "dns-records.txt").stat().st_mode) == 0o640
    from engine.net.zone import Zone

    kept = [line.removeprefix("; ") for line in records.splitlines()]
    zone = Zone.parse("$ORIGIN .\n$TTL 60\n" + "\n".join(x for x in kept if " IN " in x and "_mta-sts" not in x) + "\n")
    with dns(zone) as address:
        config = str(tmp_path / "pipeline.toml")
        for name in ("firma.test", "other.test"):
            arguments = ["-c", config, "domain", "check", name, "--address", "192.0.2.25", "--dns", address]
            done = CliRunner().invoke(main, arguments)
            assert done.exit_code == 0, done.output


def test_a_certificate_of_our_own(tmp_path: Path) -> None:
    made(tmp_path, "--tls", "self-signed")
    found = read_certificate(Pair(tmp_path / "tls" / "cert.pem", tmp_path / "tls" / "key.pem"))
    assert found.names == ("mail.firma.test", "firma.test")
    assert (found.expires - found.begins) / 86_400 == pytest.approx(365, abs=1)


def test_a_login_at_a_smart_host_is_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    made(
        tmp_path / "new", "--relay-host", "smtp.up.test", "--relay-login", "me", "--relay-password-file",
        str(tmp_path / "password"),
    )  # fmt: skip
    file = tmp_path / "new" / "relay.login"
    assert file.read_text() == "me\ns3cret\n"
    assert not file.stat().st_mode & stat.S_IRWXO
    assert "s3cret" not in (tmp_path / "new" / "pipeline.toml").read_text()


def test_a_password_from_standard_input_is_not_told(tmp_path: Path) -> None:
    said = made(tmp_path, "--account", "ann", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert PASSWORD not in said
    with Embedded.open(tmp_path / "var" / "directory", ("firma.test",)) as directory:
        assert directory.verify("ann@firma.test", PASSWORD) is not None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to somebody")
def test_root_gives_each_what_it_needs(open_folder: Path) -> None:
    folder, data = open_folder / "etc", open_folder / "lib" / "data"
    made(folder, "--data", str(data), "--user", "nobody", "--tls", "self-signed")
    for path in (data, *data.rglob("*")):
        assert path.stat().st_uid == NOBODY.pw_uid
        assert not path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)
    for path in (folder, *folder.rglob("*")):
        about = path.stat()
        assert (about.st_uid, about.st_gid) == (0, NOBODY.pw_gid), path
        assert stat.S_IMODE(about.st_mode) == (0o750 if path.is_dir() else 0o640), path
    assert load(folder / "pipeline.toml").server.user == "nobody"


# -- what is left alone


@pytest.mark.parametrize("there", ["pipeline.toml", "filters", "dns-records.txt", "tls", "var/queue"])
def test_nothing_is_written_over(tmp_path: Path, there: str) -> None:
    path = tmp_path / there
    path.parent.mkdir(exist_ok=True)
    path.write_text("dear to somebody")
    before = contents(tmp_path)
    done = run(tmp_path, *NAMES, "--yes")
    assert done.exit_code == 1
    assert str(tmp_path / there.partition("/")[0]) in done.output
    assert "already" in done.output
    assert contents(tmp_path) == before
    assert path.read_text() == "dear to somebody"


def test_an_empty_data_folder_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o711)
    made(tmp_path / "new", "--data", str(tmp_path / "data"))
    assert (tmp_path / "data" / "directory").is_dir()
    assert not (tmp_path / "new" / "var").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
@pytest.mark.skipif(
    not all(folder.stat().st_mode & stat.S_IXOTH for folder in (ROOT, *ROOT.parents)),
    reason="somebody else may not enter the folder of the source",
)
@needs("setpriv")
def test_a_user_who_may_write_into_both_folders_alone(open_folder: Path) -> None:
    """As in a container, where they are volumes."""
    for name in ("etc", "data"):
        (open_folder / name).mkdir(mode=0o700)
        os.chown(open_folder / name, NOBODY.pw_uid, NOBODY.pw_gid)
    command = (
        path_of("setpriv"), f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups", sys.executable,
        "-m", "engine", "init", str(open_folder / "etc"), "--data", str(open_folder / "data"), *NAMES, "--yes",
    )  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (open_folder / "data").iterdir()} == {"directory", "dkim"}
    assert stat.S_IMODE((open_folder / "etc" / "pipeline.toml").stat().st_mode) == 0o640


def test_what_comes_meanwhile_stays_and_all_else_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, data = tmp_path / "new", tmp_path / "data"
    data.mkdir(mode=0o711)
    give = writing._give

    def somebody_else_is_quicker(*arguments: Any) -> None:
        give(*arguments)
        (folder / "pipeline.toml").write_text("theirs")

    monkeypatch.setattr(writing, "_give", somebody_else_is_quicker)
    done = run(folder, *NAMES, "--yes", "--data", str(data))
    assert done.exit_code == 1
    assert "File exists" in done.output
    assert contents(tmp_path) == {"new", "new/pipeline.toml", "data"}
    assert (folder / "pipeline.toml").read_text() == "theirs"
    assert stat.S_IMODE(data.stat().st_mode) == 0o711


def test_a_bad_certificate_leaves_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    files = ("--tls", "files", "--certificate", str(bad), "--key", str(bad))
    done = run(tmp_path / "a" / "b", *NAMES, "--yes", *files)
    assert done.exit_code == 1
    assert str(bad) in done.output
    assert contents(tmp_path) == {"bad.pem"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda one: one.name)
def test_a_run_that_is_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    domains = [word for index in range(60) for word in ("--domain", f"d{index}.test")]  # each has a key of RSA
    popen = subprocess.Popen(
        [sys.executable, "-m", "engine", "init", str(tmp_path / "new"), "--hostname", "mx.d0.test", *domains, "--yes"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    until(lambda: list(tmp_path.glob("new/.init-*/var/dkim/*")), "the first keys")
    popen.send_signal(number)
    said, _ = popen.communicate()
    assert popen.returncode == 1, said
    assert said.strip() == "Aborted!"
    assert contents(tmp_path) == set()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--hostname", "localhost"), "is not the whole name of a host"),
        (("--domain", "not a domain"), "is no domain name"),
        (("--account", "ann@else.test"), "is in none of the domains firma.test"),
        (("--account", "@"), "is no address"),
        (("--relay-host", "smtp.up.test:none"), "has no port"),
        (("--relay-host", "smtp.up.test", "--relay-login", "me"), "say --relay-password-file too"),
        (("--tls", "files"), "--certificate: a file is needed"),
        (("--tls", "files", "--certificate", "/nowhere/at/all"), "No such file"),
        (("--bind", "nowhere"), "does not appear to be an IPv4 or IPv6 address"),
        (("--tls", "none"), "Invalid value for '--tls'"),
    ],
)
def test_wrong_answers(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    given = [word for pair in (NAMES[:2], NAMES[2:]) if pair[0] not in arguments for word in pair]
    done = run(tmp_path / "new", *given, *arguments, "--yes")
    assert done.exit_code == 2, done.output
    assert said in done.output
    assert contents(tmp_path) == set()
