"""A pipeline.toml, a disk or a port that cannot be used: said in one readable line, with the right exit code."""

import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from tests.support.programs import Certificates
from tests.support.server import ROOT, Postroad, free_port, toml

GOOD = toml(
    {
        "server": {"hostname": "mx.example.org"},
        "domains": {"local": ["example.org"]},
        "listen": {"smtp": "127.0.0.1:0", "pop3": "127.0.0.1:0"},
        "lane": {
            "inbound": {"stages": ["accept", "queue", "route"]},
            "local": {"stages": ["enqueue"]},
            "remote": {"stages": ["resolve", "relay"]},
        },
        "stage": {"accept": {"max_size": "1 MB"}, "resolve": {}, "relay": {}},
        "route": [{"to": "local", "lane": "local"}, {"to": "*", "lane": "remote"}],
    }
)

# What is put in the place of what, where the mistake stands, and what is said about it.
MISTAKES = [
    ('hostname = "mx.example.org"', 'hostnme = "mx.example.org"', "[server] hostnme", "did you mean hostname?"),
    ('hostname = "mx.example.org"', "", "[server] hostname", "is required"),
    ("[domains]", "[domians]", "[domians]", "did you mean domains?"),
    ('smtp = "127.0.0.1:0"', 'smtp = "mx:25"', "[listen] smtp", "is no address"),
    ('smtp = "127.0.0.1:0"', 'smtp = "127.0.0.1:99999"', "[listen] smtp", "is no address"),
    ('smtp = "127.0.0.1:0"', 'smpt = "127.0.0.1:0"', "[listen] smpt", "did you mean smtp?"),
    ('max_size = "1 MB"', 'max_size = "1 lot"', "[stage.accept] max_size", "is no size"),
    ('max_size = "1 MB"', 'relay_networks = ["10.0.0.0/33"]', "[stage.accept] relay_networks", "10.0.0.0/33"),
    ('max_size = "1 MB"', 'when = "import os"', "[stage.accept] when", "cannot read the condition"),
    ('max_size = "1 MB"', 'on_error = "ignore"', "[stage.accept] on_error", "ignore"),
    ('max_size = "1 MB"', "workers = -1", "[stage.accept] workers", "must not be negative"),
    ('["accept", "queue", "route"]', '["accept", "quee", "route"]', "[lane.inbound] stages", "no stage is named quee"),
    ('["accept", "queue", "route"]', '["accept", "route"]', "[lane.inbound] stages", "put `queue` into the lane"),
    ('["accept", "queue", "route"]', '["accept", "queue"]', "[lane.inbound] stages", "says where the mail goes"),
    ('["accept", "queue", "route"]', '["queue", "accept", "route"]', "[lane.inbound] stages", "must stand first"),
    (
        '["accept", "queue", "route"]',
        '["accept", "enqueue", "queue", "route"]',
        "[lane.inbound] stages",
        "behind `queue`",
    ),
    ('["accept", "queue", "route"]', "[]", "[lane.inbound] stages", "at least one stage"),
    ('to = "*"', 'to = "x.test"', "[[route]]", "the last rule must take everyone"),
    ('lane = "remote"', 'lane = "remoet"', "lane", "did you mean remote?"),
    ("[stage.resolve]", '[stage.resolve]\nsmart_host = "x"\nsmart_host = "y"', "", "overwrite"),
    ("[domains]", "[domains", "", "at column"),
    ("[domains]", '[login]\nmechanisms = ["PLIAN"]\n[domains]', "[login] mechanisms", "did you mean PLAIN?"),
    (
        "[domains]",
        '[batv]\nsecret_file = "secrets"\n[domains]',
        "[batv]",
        "no lane has a stage that does what it says",
    ),
    ("[stage.relay]", '[stage.relay]\nretry = ["5 minutes"]', "[stage.relay] retry", "is no duration"),
    ('max_size = "1 MB"', "network_ipv4 = 33", "accept", "network_ipv4 must be a number of bits from 0 to 32"),
    ('max_size = "1 MB"', "max_errors = 0", "accept", "max_errors must be at least 1"),
    ("[stage.relay]", "[stage.relay]\nretry = []", "relay", "retry needs at least one delay"),
    ("[stage.resolve]", "[stage.resolve]\nport = 70000", "resolve", "port must be one of 1 to 65535"),
    ("[stage.relay]", "[stage.relay]\nconnections = 0", "relay", "connections must be at least 1"),
    ("[stage.resolve]", '[stage.resolve]\nsmart_host = "mx:99999"', "resolve", "is no host and port"),
    (
        "[stage.relay]",
        '[tls]\ncertificate = "no.pem"\nkey = "no.pem"\n\n[stage.relay]',
        "[tls] certificate",
        "no such file",
    ),
]


@pytest.mark.parametrize(
    ("good", "wrong", "place", "text"), MISTAKES, ids=[wrong or "nothing" for _, wrong, _, _ in MISTAKES]
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, good: str, wrong: str, place: str, text: str) -> None:
    assert good in GOOD
    file = tmp_path / "pipeline.toml"
    file.write_text(GOOD.replace(good, wrong, 1))
    done = CliRunner().invoke(main, ["--config", str(file), "check"])
    assert done.exit_code == 2, done.output
    assert text in done.output
    assert place.strip("[]") in done.output
    assert f"{file}:" in done.output
    assert "nothing was changed" in done.output


def test_all_mistakes_at_once_in_a_process_of_its_own(tmp_path: Path) -> None:
    server = Postroad(
        tmp_path, {"server": {"hostnme": "x"}, "listen": {"smtq": "127.0.0.1:1"}, "stage": {"accept": {"max_sice": 1}}}
    )
    for command in ("check", "run", "reload"):
        done = server.command(command)
        assert done.returncode == 2
        assert done.stderr.count(str(server.config)) == 3
        assert "3 mistakes; nothing was changed" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_good_file_and_an_absent_one(tmp_path: Path) -> None:
    server = Postroad(tmp_path)
    assert server.command("check").returncode == 0
    server.config.unlink()
    done = server.command("check")
    assert done.returncode == 2
    assert "No such file or directory; start in the folder that holds pipeline.toml" in done.stderr


def refused(server: Postroad, code: int = 1) -> str:
    """Start it in vain; the one line that says why."""
    done = server.command("run")
    assert done.returncode == code, done.stderr
    assert "Traceback" not in "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
    assert "ready" not in done.stdout
    assert '"event":"bug"' not in done.stderr  # it is no fault of ours
    return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))


def test_settings_that_only_show_their_fault_in_use(tmp_path: Path) -> None:
    """Refused by a start, and by a reload, which changes nothing and lets nobody die."""
    one, two = Certificates(tmp_path / "one"), Certificates(tmp_path / "two")
    (tmp_path / "nonsense.pem").write_text("nonsense")
    wrong: list[tuple[dict[str, object], str]] = [
        (
            {"tls": {"certificate": str(one.certificate), "key": str(two.key)}},
            f"[tls]: {one.certificate} and {two.key}",
        ),
        ({"tls": {"certificate": str(tmp_path / "nonsense.pem"), "key": str(one.key)}}, "[tls]: "),
    ]
    for changes, text in wrong:
        assert text in refused(Postroad(tmp_path / "start", changes))
    with Postroad(tmp_path / "reload") as server:
        before, good = server.workers(), server.settings
        for changes, text in wrong:
            server.settings = good
            server.change(changes)
            done = server.reload()
            assert done.returncode == 1
            assert text in done.stderr
        assert server.workers() == before
        server.settings = good
        server.change({"tls": one.settings})
        assert server.reload().returncode == 0
        assert server.all("bug") == []


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    server = Postroad(tmp_path, {"tls": {"certificate": str(tmp_path / "gone.pem"), "key": str(tmp_path / "gone.pem")}})
    assert f"[tls] certificate: cannot read {tmp_path}/gone.pem: no such file" in refused(server, 2)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Postroad(tmp_path, {"listen": {"smtp": f"127.0.0.1:{port}"}})
        assert refused(server) == (
            f"postroad: [listen] smtp: cannot bind 127.0.0.1:{port}: the port is in use by another program "
            f"(`ss -ltnp 'sport = :{port}'` names it); stop it or choose another"
        )


def test_a_port_that_was_just_left_is_free_at_once(tmp_path: Path) -> None:
    """Connections in TIME_WAIT do not keep a server from coming back."""
    with Postroad(tmp_path, {"listen": {"smtp": f"127.0.0.1:{free_port()}"}}) as server:
        open_connection = server.dialogue()
        assert server.stop() == 0
        server.start()
        open_connection.close()
        with server.dialogue() as client:
            client.ask("QUIT", "221")


def test_a_data_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file")
    assert f"cannot use the data folder {tmp_path}/var: " in refused(Postroad(tmp_path))


# Root reads and writes everything, so it runs the server without the two capabilities that let it.
POWERLESS = ["setpriv", *(f"--{kind}=-dac_override,-dac_read_search" for kind in ("bounding-set", "inh-caps"))]


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_a_data_folder_that_may_not_be_used(tmp_path: Path, mode: int) -> None:
    server = Postroad(tmp_path)
    data = tmp_path / "var"
    data.mkdir()
    data.chmod(mode)
    powerless = POWERLESS if os.geteuid() == 0 else []
    done = subprocess.run(
        [*powerless, sys.executable, "-m", "engine", "--config", str(server.config), "run"],
        cwd=server.folder, env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    data.chmod(0o755)
    assert done.returncode == 1, done.stderr
    assert f"cannot use the data folder {data}: " in done.stderr
    assert f"that the user {pwd.getpwuid(os.geteuid()).pw_name} may read and write" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_without_mail_to_lose_starts_again_after_damage_is_said(tmp_path: Path) -> None:
    """A file where the queue's folder should be: the server says so, and does not start as if it were empty."""
    server = Postroad(tmp_path)
    (tmp_path / "var" / "queue").mkdir(parents=True)
    (tmp_path / "var" / "queue" / "0").write_text("not a folder")
    assert f"{tmp_path}/var/queue/0" in refused(server)


def test_a_map_size_that_holds_nothing(tmp_path: Path) -> None:
    said = refused(Postroad(tmp_path, {"queue": {"map_size": "1 KB"}}))
    assert f"{tmp_path}/var/queue/0: it has become as large as its map_size; make that larger" in said


def test_reload_without_a_server(tmp_path: Path) -> None:
    done = Postroad(tmp_path).reload()
    assert (done.returncode, done.stderr) == (1, f"postroad: no server runs on {tmp_path}/var\n")


def test_the_example_is_good() -> None:
    done = CliRunner().invoke(main, ["--config", str(ROOT / "pipeline.toml"), "check"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("good", "wrong", "said"),
    [
        ('["accept", "queue", "route"]', '"accept"', 'Expected a list, like ["…"], got `str`'),
        ("[stage.resolve]", '[stage.resolve]\nuse = "stages.resolv"', "there is no module stages.resolv"),
        ('"route"]', '"routte"]', "no stage is named routte"),
    ],
)
def test_what_follows_from_a_mistake_is_not_another_one(tmp_path: Path, good: str, wrong: str, said: str) -> None:
    """A lane or stage that cannot be read takes neither its settings nor its tables with it."""
    file = tmp_path / "pipeline.toml"
    file.write_text(GOOD.replace(good, wrong, 1))
    done = CliRunner().invoke(main, ["--config", str(file), "check"])
    assert said in done.output
    assert "unknown table" not in done.output
    assert "no lane has a stage of this name" not in done.output
