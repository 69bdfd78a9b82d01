"""`postroad doctor` on servers that are well, and on machines where something is wrong."""

import contextlib
import json
import os
import pwd
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import CliRunner

from engine.cli import main
from engine.cli.doctor import clock, disk, versions
from engine.net.zone import Zone
from tests.support.background import dns
from tests.support.keys import put_keys
from tests.support.programs import Certificates, needs, path_of, put, run
from tests.support.provider import SignIns
from tests.support.server import BASE, PATIENCE, ROOT, Postroad, free_port, letter, merged, refuses, toml, until

BOB = "bob@example.org"
ADDRESS = "192.0.2.25"
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts, and becomes somebody else")


class Visit:
    """What the doctor said: each finding, and the exit code."""

    def __init__(self, code: int, said: str) -> None:
        self.code = code
        self.findings: list[dict[str, str]] = json.loads(said)

    def of(self, level: str, area: str = "") -> list[str]:
        return [
            f"{finding['what']}; {finding['means']}; {finding['do']}"
            for finding in self.findings
            if finding["level"] == level and area in ("", finding["area"])
        ]

    def one(self, level: str, part: str) -> str:
        """The only finding of that level in which the text stands."""
        found = [text for text in self.of(level) if part in text]
        assert len(found) == 1, self.findings
        return found[0]


def visit(config: Path, *arguments: str, only: str = "", starter: tuple[str, ...] = (), **environment: str) -> Visit:
    areas = [word for area in only.split() for word in ("--only", area)]
    done = subprocess.run(
        [*starter, sys.executable, "-m", "engine", "-c", str(config), "doctor", "--json", *areas, *arguments],
        capture_output=True, text=True, cwd=ROOT, env=os.environ | environment, timeout=300, check=False,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return Visit(done.returncode, done.stdout)


def written(folder: Path, changes: Mapping[str, Any]) -> Path:
    """A pipeline.toml without a server."""
    (folder / "var").mkdir(mode=0o700, parents=True, exist_ok=True)
    config = folder / "pipeline.toml"
    config.write_text(toml(merged(BASE, changes)))
    return config


def zone_of(config: Path, without: str = "") -> Zone:
    """What `postroad domain records` prints, as a zone."""
    said = CliRunner().invoke(main, ["-c", str(config), "domain", "records", "example.org", "--address", ADDRESS])
    assert said.exit_code == 0, said.output
    lines = [line.removeprefix("; ") for line in said.stdout.splitlines()]
    kept = [line for line in lines if " IN " in line and "_mta-sts" not in line and not (without and without in line)]
    return Zone.parse("$ORIGIN .\n$TTL 60\n" + "\n".join(kept) + "\n")


# -- well


def files(data: Path) -> set[Path]:
    """But for those of the index, which the server makes when it has time."""
    return {path for path in data.rglob("*") if "index" not in path.parts}


def test_a_server_that_is_well(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path / "tls")
    put_keys(tmp_path / "var", "example.org")
    ports = {"smtp": f"127.0.0.1:{free_port()}", "imap": "127.0.0.1:0"}
    settings = {"tls": certificates.settings, "listen": ports, "history": {"level": "off"}}  # which writes by itself
    with Postroad(tmp_path, settings) as server:
        server.account(BOB).send(letter("so that there is something"), BOB)
        server.wait_for("delivered")
        until(lambda: not server.command("queue", "list").stdout, "an empty queue")
        before = files(tmp_path / "var")
        with dns(zone_of(server.config)) as address:
            found = visit(
                server.config, "--dns", address, "--address", ADDRESS, SSL_CERT_FILE=str(certificates.authority)
            )
        assert files(tmp_path / "var") == before
        volatile = found.of("problem", "disk")  # where the tests are in memory
        assert not found.of("problem") or (found.of("problem") == volatile and "this is memory" in volatile[0])
        assert found.code == bool(volatile)
        for what in (
            "example.org: all that mail needs is in the DNS", "is trusted, until",
            f"process {server.pid} serves, by revision 1", "0 messages in the queue",
            "the resolver answers within",
            f"smtp: {ports['smtp']} answers", "smtp greets within", "the resolver is on this machine",
            f"all in {tmp_path}/var is",
        ):  # fmt: skip
            found.one("ok", what)
        assert [text for text in found.of("ok") + found.of("warning") if text.startswith("the disk syncs a page in")]
        assert "MTA-STS" in found.one("warning", "optional: safer transport")
        assert {finding["area"] for finding in found.findings} == {
            "disk", "ports", "dns", "tls", "clock", "limits", "versions", "server", "queue",
        }  # fmt: skip


def test_what_a_person_reads(tmp_path: Path) -> None:
    config = written(tmp_path, {})
    done = CliRunner().invoke(main, ["-c", str(config), "doctor", "--offline"])
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert "server" in lines
    at = next(number for number, line in enumerate(lines) if line.startswith("  problem  no server runs on"))
    assert lines[at + 1] == "           no mail is taken in, and none goes out"
    assert lines[at + 2].startswith("           → systemctl start postroad")
    assert lines[-1].startswith(f"{sum(line.startswith('  problem') for line in lines)} problem")
    assert "dns" not in lines
    assert "scanners" not in lines


def test_mistakes_in_the_file_come_first(tmp_path: Path) -> None:
    config = written(tmp_path, {"server": {"hostnam": "x"}})
    done = CliRunner().invoke(main, ["-c", str(config), "doctor"])
    assert done.exit_code == 2
    assert "did you mean hostname?" in done.output


# -- disk


@only_root
def test_a_folder_in_memory_that_is_nearly_full(tmp_path: Path) -> None:
    config = written(tmp_path, {"queue": {"reserve": "8 MB"}})
    with mounted(tmp_path / "var", "-t", "tmpfs", "-o", "size=16m,nr_inodes=100", "none"):
        (tmp_path / "var" / "ballast").write_bytes(bytes(4 * 2**20))
        found = visit(config, only="disk")
        assert "below 8 MB" in found.one("warning", "are free for")
        (tmp_path / "var" / "ballast").write_bytes(bytes(12 * 2**20))
        found = visit(config, only="disk")
        assert "clients hear 452" in found.one("problem", "are free for")
        assert "without inodes" in found.one("problem", "more files can be made")
        assert "this is memory" in found.one("problem", "is on tmpfs")
        assert found.code == 1
        run("mount", "-o", "remount,ro", str(tmp_path / "var"))
        found.one("problem", "this is memory")
        assert "mounted read-only" in visit(config, only="disk").one("problem", "nothing can be stored")


@only_root
@pytest.mark.parametrize("journal", [True, False], ids=["journal", "none"])
def test_a_disk_with_and_without_a_journal(tmp_path: Path, journal: bool) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(512 * 2**20)
    run("mkfs.ext4", "-q", "-F", *(() if journal else ("-O", "^has_journal")), str(image))
    config = written(tmp_path, {})
    with mounted(tmp_path / "var", "-o", "loop", str(image)):
        shutil.rmtree(tmp_path / "var" / "lost+found")
        (tmp_path / "var").chmod(0o700)
        found = visit(config, only="disk")
        assert found.code == 0, found.findings
        found.one("ok" if journal else "warning", "is on ext4")


@contextlib.contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[None]:
    run("mount", *arguments, str(folder))
    try:
        yield
    finally:
        run("umount", "-l", str(folder))


@pytest.mark.parametrize(
    ("path", "kind", "options"),
    [
        ("/srv/mail", "nfs4", {"rw", "hard"}),
        ("/srv/other", "ext4", {"rw", "relatime", "barrier=0"}),
        ("/srv/a b/c", "xfs", {"rw"}),
        ("/srv/mailbox", "ext4", {"rw", "relatime", "barrier=0"}),
    ],
)
def test_the_mount_that_a_path_is_on(path: str, kind: str, options: set[str]) -> None:
    mounts = (
        "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw,barrier=0\n"
        "22 21 0:5 / /srv/mail rw shared:1 - ext4 /dev/sdb1 rw\n"
        "23 22 0:6 / /srv/mail rw - nfs4 host:/mail rw,hard\n"
        "24 21 0:7 / /srv/a\\040b rw - xfs /dev/sdc1 rw\n"
    )
    found = disk.mounted_at(Path(path), mounts)
    assert (found[0], found[2]) == (kind, options)


@only_root
def test_files_of_another_user(open_folder: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    config = written(open_folder, {"server": {"user": "nobody"}})
    data = open_folder / "var"
    os.chown(data, nobody.pw_uid, nobody.pw_gid)
    assert visit(config, only="disk").one("ok", f"all in {data} is nobody's")
    (data / "dkim").mkdir()
    data.chmod(0o755)
    found = visit(config, only="disk")
    assert f"chown -R nobody {data}" in found.one("problem", f"{data}/dkim is not nobody's")
    assert f"chmod 700 {data}" in found.one("warning", "open to others")


@only_root
@needs("setpriv")
def test_a_user_who_may_not_look(open_folder: Path) -> None:
    config = written(open_folder, {})
    starter = (path_of("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups")
    found = visit(config, "--offline", only="disk tls queue server", starter=starter)
    assert "run this as root, or as root" in found.one("problem", "may not look into")
    assert "run this as root" in found.one("warning", "it could not be looked at")


# -- ports


def test_ports_that_are_taken_and_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = written(tmp_path, {"listen": {"smtp": f"127.0.0.1:{port}", "pop3": f"127.0.0.1:{free_port()}"}})
        found = visit(config, only="ports")
    assert f"process {os.getpid()};" in found.one("problem", f"smtp: 127.0.0.1:{port} is in use by")
    found.one("ok", "is free")
    assert "port 25" in found.one("warning", "no mail comes from outside")
    assert found.code == 1


def test_an_address_that_is_not_here(tmp_path: Path) -> None:
    found = visit(written(tmp_path, {"listen": {"smtp": "192.0.2.1:2525"}}), only="ports")
    assert "this machine has no such address" in found.one("problem", "smtp: 192.0.2.1:2525")


@only_root
@needs("setpriv")
def test_a_port_that_is_for_root(open_folder: Path) -> None:
    config = written(open_folder, {"listen": {"smtp": "127.0.0.1:25", "pop3": None}})
    config.chmod(0o644)
    starter = (path_of("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all")
    with contextlib.suppress(AssertionError):  # something may listen there, which is told instead
        found = visit(config, only="ports", starter=starter)
        if not found.of("problem"):
            assert "start it by systemd" in found.one("warning", "a port that you may not bind")


def test_whether_mail_gets_out(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        place = f"127.0.0.1:{server.ports['smtp']}"
        assert visit(server.config, "--outgoing", place, only="ports").one("ok", "mail gets out")
        nowhere = f"127.0.0.1:{free_port()}"
        assert "port 25" in visit(server.config, "--outgoing", nowhere, only="ports").one("problem", "no connection to")


# -- DNS


def test_a_record_that_is_missing(tmp_path: Path) -> None:
    put_keys(tmp_path / "var", "example.org")
    config = written(tmp_path, {})
    with dns(zone_of(config, without=" IN MX ")) as address:
        found = visit(config, "--dns", address, "--address", ADDRESS, only="dns")
    assert "publish: example.org. IN MX 10 mx.example.org." in found.one("problem", "example.org: MX is missing")
    assert "SPF" in found.one("problem", "others may take our mail for forged")  # which names the MX
    assert len(found.of("problem")) == 2
    assert found.code == 1


def test_each_domain_that_was_added_is_looked_at(tmp_path: Path) -> None:
    config = written(tmp_path, {})
    assert CliRunner().invoke(main, ["-c", str(config), "domain", "add", "other.test"]).exit_code == 0
    with dns(Zone.parse("$ORIGIN .\n$TTL 60\nnothing.test. IN A 127.0.0.1\n")) as address:
        found = visit(config, "--dns", address, only="dns")
    assert found.one("problem", "other.test: MX is")
    assert found.one("problem", "example.org: MX is")


def test_a_resolver_that_is_dead(tmp_path: Path) -> None:
    config = written(tmp_path, {"dns": {"servers": [f"127.0.0.1:{free_port()}"], "timeout": "200ms"}})
    found = visit(config, only="dns")
    assert "no mail leaves" in found.one("problem", "the resolver does not answer")
    assert len(found.findings) == 1


# -- TLS


def certificate(folder: Path, *names: str, days: tuple[int, int] = (-1, 90)) -> tuple[Path, dict[str, str]]:
    """Its authority, and the table [tls]; valid from and until so many days from now."""
    authority, now = trustme.CA(), datetime.now(UTC)
    begins, ends = (now + timedelta(days=number) for number in days)
    issued = authority.issue_cert(*names, not_before=begins, not_after=ends)
    folder.mkdir()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    put(issued, folder / "cert.pem", folder / "key.pem")
    return folder / "ca.pem", {"certificate": str(folder / "cert.pem"), "key": str(folder / "key.pem")}


@pytest.mark.parametrize(
    ("names", "days", "trusted", "level", "said"),
    [
        (("mx.example.org",), (-90, 90), True, "ok", "is trusted, until"),
        (("*.example.org",), (-90, 90), True, "ok", "is trusted, until"),
        (("mx.example.org",), (-90, 90), False, "warning", "is not trusted: unable to get local issuer certificate"),
        (("mx.example.org",), (-90, -1), True, "problem", "expired on"),
        (("mx.example.org",), (-85, 5), True, "warning", "expires on"),
        (("mx.example.org",), (1, 90), True, "problem", "is not valid before"),
        (("other.test",), (-90, 90), True, "problem", "no certificate is for mx.example.org"),
    ],
    ids=["good", "wildcard", "unknown", "expired", "soon", "early", "other"],
)
def test_certificates(
    tmp_path: Path, *, names: tuple[str, ...], days: tuple[int, int], trusted: bool, level: str, said: str
) -> None:
    authority, settings = certificate(tmp_path / "tls", *names, days=days)
    config = written(tmp_path, {"tls": settings})
    found = visit(config, only="tls", **({"SSL_CERT_FILE": str(authority)} if trusted else {}))
    assert found.one(level, said)
    assert found.code == (level == "problem")


def test_a_key_of_another_certificate(tmp_path: Path) -> None:
    _, settings = certificate(tmp_path / "tls", "mx.example.org")
    _, other = certificate(tmp_path / "other", "mx.example.org")
    found = visit(written(tmp_path, {"tls": settings | {"key": other["key"]}}), only="tls")
    assert "another one's key" in found.one("problem", "cannot be used together")


@only_root
def test_a_key_that_the_user_cannot_read(open_folder: Path) -> None:
    _, settings = certificate(open_folder / "tls", "mx.example.org")
    Path(settings["key"]).chmod(0o600)
    Path(settings["certificate"]).chmod(0o644)
    config = written(open_folder, {"tls": settings, "server": {"user": "nobody"}})
    found = visit(config, only="tls")
    assert "chmod g+r" in found.one("problem", "key.pem cannot be read by the server's user")


# -- clock, limits, versions


@needs("faketime")
def test_a_clock_of_long_ago(tmp_path: Path) -> None:
    found = visit(written(tmp_path, {}), only="clock", starter=(path_of("faketime"), "2001-01-01"))
    assert "2001-01-01" in found.one("problem", "before this release was installed")


@pytest.mark.parametrize(
    ("status", "most", "level", "said"),
    [
        (0x2001, 0.02, "ok", "kept right, to 20 ms"),
        (0x0040, 16.0, "warning", "nobody keeps the clock right"),
        (0x0001, 2.5, "warning", "wrong by 2.5 s"),
    ],
)
def test_what_the_kernel_says_of_its_clock(status: int, most: float, level: str, said: str) -> None:
    found = clock._judged(status, most)
    assert (found.level, said in found.what) == (level, True)


def test_the_kernel_is_asked() -> None:
    status, most = clock._kernel()
    assert 0 <= status < 2**16
    assert 0 <= most < 3600


@pytest.mark.parametrize(
    ("limit", "value", "level", "said"),
    [
        (resource.RLIMIT_NOFILE, 512, "problem", "512 files and connections"),
        (resource.RLIMIT_NOFILE, 2048, "warning", "2,048 files and connections"),
        (resource.RLIMIT_AS, 8 * 2**30, "problem", "the stores are mapped into"),
    ],
    ids=["few", "some", "addresses"],
)
def test_limits(tmp_path: Path, limit: int, value: int, level: str, said: str) -> None:
    name = {resource.RLIMIT_NOFILE: "nofile", resource.RLIMIT_AS: "as"}[limit]
    config = written(tmp_path, {})
    found = visit(config, only="limits", starter=(path_of("prlimit"), f"--{name}={value}:{value}"))
    assert found.one(level, said)
    assert found.code == (level == "problem")


def test_more_workers_than_cores(tmp_path: Path) -> None:
    found = visit(written(tmp_path, {"server": {"workers": 900}}), only="limits")
    assert found.one("warning", "900 mail workers on")
    assert "idle they need" in found.one("problem" if found.code else "warning", "of memory for")


def test_versions() -> None:
    assert "misreads" in versions._python((3, 11, 2)).what
    assert versions._python((3, 12, 1)).what == "Python 3.12.1"
    assert versions._python((3, 10, 9)).level == "problem"
    wanted = ["click>=8.3", "trio>=99.1", "no-such-thing>=1", 'psycopg[binary]>=99; extra == "postgresql"']
    assert [name for name, _, _ in versions._lacking(wanted)] == ["trio", "no-such-thing"]


# -- scanners


def test_scanners_that_answer_or_not(tmp_path: Path) -> None:
    path = tmp_path / "clamd"
    config = written(
        tmp_path,
        {
            "lane": {"inbound": {"stages": ["accept", "judged", "virus", "queue", "route"]}},
            "stage": {
                "judged": {"use": "stages.scan", "rspamd": {"url": f"http://127.0.0.1:{free_port()}"},
                           "clamav": {"socket": str(path)}},
                "virus": {"use": "stages.milter", "connect": f"unix:{tmp_path}/absent"},
            },
        },
    )  # fmt: skip
    with socket.socket(socket.AF_UNIX) as clamd:
        clamd.bind(str(path))
        clamd.listen()
        found = visit(config, only="scanners")
    assert found.one("ok", f"[stage.judged] clamav: {path} answers")
    assert found.one("problem", "[stage.judged] rspamd: 127.0.0.1:")
    assert found.one("problem", f"[stage.virus]: {tmp_path}/absent does not answer")
    assert found.code == 1


# -- providers


def test_providers_that_answer_or_not(tmp_path: Path) -> None:
    provider = SignIns()
    try:
        known = {"client_id": "postroad"}
        oidc = {
            "firm": {**known, "issuer": provider.url}, "slash": {**known, "issuer": f"{provider.url}/"},
            "away": {**known, "issuer": f"http://127.0.0.1:{free_port()}"},
            "secret": {**known, "issuer": provider.url, "client_secret_env": "POSTROAD_NO_SUCH_VARIABLE"},
        }  # fmt: skip
        config = written(tmp_path, {"listen": {"web": "127.0.0.1:0"}, "web": {"oidc": oidc}})
        found = visit(config, only="scanners")
    finally:
        provider.close()
    assert found.one("ok", f"[web.oidc.firm]: {provider.url} answers")
    assert "says that it is another issuer" in found.one("problem", "[web.oidc.slash]")
    assert found.one("problem", "[web.oidc.away]")
    assert "POSTROAD_NO_SUCH_VARIABLE" in found.one("problem", "[web.oidc.secret]")


# -- the server and its queue


def test_a_server_that_does_not_run(tmp_path: Path) -> None:
    found = visit(written(tmp_path, {}), only="server queue")
    assert "systemctl start postroad" in found.one("problem", "no server runs on")
    assert found.one("ok", "0 messages in the queue")
    assert found.code == 1


def test_a_refused_reload_parked_mail_and_mail_that_waits(tmp_path: Path) -> None:
    park = "from engine import Message, Quarantine, Verdict\n\n\nasync def park(message: Message) -> Verdict:\n"
    park += '    return Quarantine("looks odd") if message.header("Subject") == "odd" else message\n'
    settings = {
        "lane": {"inbound": {"stages": ["accept", "park", "queue", "route"]}},
        "stage": {"park": {"use": "filters/park.py"}, "relay": {"retry": ["1h"]}, "resolve": {"port": free_port()}},
    }
    with dns(Zone("remote.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})) as address:
        server = Postroad(tmp_path, merged(settings, {"dns": {"servers": [address]}}), park=park)
        with server.account(BOB):
            server.send(letter("odd"), BOB)
            server.send(letter("to nowhere"), "somebody@remote.test")
            server.wait_for("deferred")
            server.change({"server": {"workers": 3}})
            assert server.reload().returncode == 1
            found = visit(server.config, only="server queue ports")
            assert "workers cannot change" in found.one("warning", "the last reload was refused")
            assert found.one("ok", "2 messages in the queue")
            assert found.one("ok", "mail for 1 destination waits in line")
            assert found.one("warning", "1 message parked")
            assert found.one("problem", "there is no worker mail-2")
            server.stop()
            until(lambda: refuses(server.ports["smtp"]), "its end", PATIENCE)
            assert visit(server.config, only="queue").one("ok", "2 messages in the queue")
