"""The web process of a running server: what it tells is what happened, and no client of it can hurt the mail."""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.runtime.state import State
from tests.support.programs import Certificates, needs, path_of
from tests.support.server import PATIENCE, Postroad, blind, free_port, letter, refuses, until

ROOT = Path(__file__).parents[2]
METRICS = {"listen": {"metrics": "127.0.0.1:0"}}
LINE = re.compile(r"(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)")


def fetched(port: int, path: str = "/metrics", *, tls: bool = False, **headers: str) -> tuple[int, str]:
    """Status and body."""
    if tls:
        client: http.client.HTTPConnection = http.client.HTTPSConnection(
            "127.0.0.1", port, timeout=PATIENCE, context=blind()
        )
    else:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(client):
        client.request("GET", path, headers=headers)
        response = client.getresponse()
        return response.status, response.read().decode()


def numbers(text: str, name: str, **labels: str) -> float:
    """The sum of all samples of that name that have these labels."""
    wanted = {f'{label}="{value}"' for label, value in labels.items()}
    return sum(
        float(found["value"])
        for found in map(LINE.fullmatch, text.splitlines())
        if found and found["name"] == name and wanted <= set(re.findall(r'\w+="(?:[^"\\]|\\.)*"', found["labels"]))
    )


def measured(server: Postroad, name: str, **labels: str) -> float:
    return numbers(fetched(server.ports["metrics"])[1], name, **labels)


def scrape_of_all(server: Postroad) -> str:
    """A scrape to which every worker has answered in time."""

    def found() -> str:
        text = fetched(server.ports["metrics"])[1]
        return text if numbers(text, "postroad_up") == len(server.workers()) else ""

    return str(until(found, "an answer of every worker"))


def ready(server: Postroad) -> list[str]:
    """Why it is not ready."""
    status, text = fetched(server.ports["metrics"], "/health/ready")
    told = json.loads(text)
    assert (status == 200) == told["ready"] == (not told["reasons"])
    return list(told["reasons"])


def names_in(text: str) -> set[str]:
    """The families that a scrape tells of."""
    return set(re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE))


def promtool(text: str) -> None:
    """Have a scrape looked at by Prometheus's own tool."""
    done = subprocess.run(
        [path_of("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_told_is_what_happened(tmp_path):
    settings = {**METRICS, "server": {"workers": 2}, "stage": {"accept": {"relay_networks": []}}}
    with Postroad(tmp_path, settings) as server:
        server.account("bob@example.org")
        for number in range(20):
            server.send(letter(f"number {number}"), "bob@example.org")
        with server.smtp() as client, pytest.raises(Exception, match="550"):
            client.sendmail("ann@example.net", ["nobody@example.org"], letter("refused"))
        server.mail_for("bob@example.org", 20)
        until(lambda: measured(server, "postroad_recipients_total", outcome="delivered") == 20, "twenty deliveries")
        until(lambda: measured(server, "postroad_queue_messages") == 0, "an empty queue")
        text = scrape_of_all(server)
        assert numbers(text, "postroad_link_messages_total", link="inbound/queue") == 20
        assert numbers(text, "postroad_stage_messages_total", stage="enqueue", verdict="delivered") == 20
        assert numbers(text, "postroad_stage_seconds_count", stage="enqueue") == 20
        assert numbers(text, "postroad_stage_refusals_total", stage="route", hook="at_recipient") == 1
        assert numbers(text, "postroad_connections_total", listener="smtp") == 21
        assert numbers(text, "postroad_logins_total", protocol="pop3", result="ok") >= 1
        assert numbers(text, "postroad_queue_messages") == 0
        assert numbers(text, "postroad_commits_total", store="queue/0") == numbers(
            text, "postroad_commit_size_count", store="queue/0"
        )
        assert numbers(text, "postroad_commit_size_sum", store="queue/0") > 0
        assert numbers(text, "postroad_storage_bytes", store="mailbox") > 4096
        assert numbers(text, "postroad_storage_limit_bytes", store="mailbox") > 1e9
        assert numbers(text, "postroad_disk_free_bytes") > numbers(text, "postroad_disk_reserve_bytes") > 0
        assert numbers(text, "postroad_revision", worker="web") == 1
        assert 0 <= numbers(text, "postroad_loop_lag_seconds", worker="mail-0") < 60
        for worker in server.workers():
            assert numbers(text, "postroad_process_cpu_seconds_total", worker=worker) > 0
            assert numbers(text, "postroad_process_resident_bytes", worker=worker) > 1_000_000
            files = numbers(text, "postroad_process_open_files", worker=worker)
            assert 3 < files < numbers(text, "postroad_process_open_files_limit", worker=worker)
            assert 0 < time.time() - numbers(text, "postroad_process_start_time_seconds", worker=worker) < 600
        until(lambda: ready(server) == [], "it to be ready")
        assert "bob" not in text
        assert "127.0.0.1" not in text


@needs("promtool")
def test_prometheus_takes_all_of_it(tmp_path):
    with Postroad(tmp_path, METRICS) as server:
        server.account("bob@example.org")
        server.send(letter("one"), "bob@example.org")
        server.mail_for("bob@example.org", 1)
        _, text = fetched(server.ports["metrics"])
        promtool(text)
        _, text = fetched(server.ports["metrics"], Accept="application/openmetrics-text; version=1.0.0")
        assert text.endswith("\n# EOF\n")


def test_everything_on_the_dashboard_is_in_a_scrape(tmp_path):
    with Postroad(tmp_path, {"listen": {**METRICS["listen"], "web": "127.0.0.1:0"}}) as server:
        fetched(server.ports["web"])  # by now there are pages, and measures of them
        found = names_in(fetched(server.ports["metrics"])[1])
    shown = set(re.findall(r"postroad_\w+", (ROOT / "monitoring" / "dashboard.json").read_text()))
    whole = {re.sub(r"_(bucket|sum|count)$", "", name) if name not in found else name for name in shown}
    assert len(whole) > 40
    assert whole <= found


def test_what_waits_and_what_is_parked_is_told_without_a_look_at_it(tmp_path):
    settings = {
        **METRICS,
        "lane": {"inbound": {"stages": ["accept", "queue", "park", "route"]}},
        "stage": {"park": {"use": "filters/park.py"}, "resolve": {}, "relay": {"retry": ["1h"]}},
        "dns": {"servers": ["127.0.0.1:1"]},
    }
    source = '''"""Parks what asks for it."""
from engine import Message, Quarantine, Verdict


async def park(message: Message) -> Verdict:
    return Quarantine("as it wished") if message.header("Subject") == "park me" else message
'''
    with Postroad(tmp_path, settings, park=source) as server:
        for subject in ("park me", "park me", "later"):
            server.send(letter(subject), "carol@example.com")
        server.wait_for("deferred")
        until(lambda: measured(server, "postroad_queue_messages", state="quarantined") == 2, "two parked messages")
        until(lambda: measured(server, "postroad_queue_messages", state="away") == 0, "nothing to be away")
        waiting = measured(server, "postroad_queue_messages", state="waiting")
        assert waiting + measured(server, "postroad_queue_messages", state="line") == 1
        assert measured(server, "postroad_recipients_total", outcome="deferred") >= 1
        assert measured(server, "postroad_recipients_total", outcome="quarantined") == 2
        until(lambda: measured(server, "postroad_replies_total") >= 1, "its class")
        until(lambda: measured(server, "postroad_queue_oldest_seconds") > 0, "the message to grow old")


def test_a_worker_that_does_not_answer_is_told_of_and_delays_nobody(tmp_path):
    with Postroad(tmp_path, {**METRICS, "server": {"hang": "60s"}}) as server:
        until(lambda: ready(server) == [], "it to be ready")
        pid = server.worker("mail-1")
        os.kill(pid, signal.SIGSTOP)
        try:
            until(lambda: ready(server) == ["mail-1 does not answer"], "that to be noticed")
            until(lambda: measured(server, "postroad_queue_accepts", worker="mail-0") == 1, "the other one")
            assert measured(server, "postroad_up", worker="mail-1") == 0
        finally:
            os.kill(pid, signal.SIGCONT)
        until(lambda: ready(server) == [], "it to be ready again")


def test_restarts_are_counted_and_the_web_process_may_die_itself(tmp_path):
    with Postroad(tmp_path, METRICS) as server:
        server.account("bob@example.org")
        os.kill(server.worker("mail-0"), signal.SIGKILL)
        server.wait_for("worker-restarted", worker="mail-0")
        until(lambda: measured(server, "postroad_worker_restarts_total", worker="mail-0") == 1, "one restart")
        os.kill(server.worker("web"), signal.SIGKILL)
        server.send(letter("meanwhile"), "bob@example.org")
        server.mail_for("bob@example.org", 1)
        server.wait_for("worker-restarted", worker="web")
        until(lambda: ready(server) == [], "it to be ready")


def test_a_full_disk_is_no_reason_to_be_sent_mail(tmp_path):
    with Postroad(tmp_path, METRICS) as server:
        reserve = shutil.disk_usage(tmp_path).total
        server.change({"queue": {"reserve": reserve}})
        server.reload()
        said = [f"shard {n}: the disk has no more room than [queue] reserve" for n in (0, 1)]
        until(lambda: ready(server) == said, "both shards to say so")
        assert measured(server, "postroad_disk_reserve_bytes") == reserve


def test_a_reload_brings_it_up_and_takes_it_away(tmp_path):
    with Postroad(tmp_path) as server:
        port = free_port()
        server.change({"listen": {"metrics": f"127.0.0.1:{port}"}})
        server.reload()
        until(lambda: not refuses(port), "it to listen")
        assert fetched(port)[0] == 200
        until(lambda: numbers(fetched(port)[1], "postroad_revision", worker="mail-0") == 2, "news of the revision")
        server.change({"listen": {"metrics": None}})
        server.reload()
        until(lambda: refuses(port), "it to be gone")
        until(lambda: "web" not in server.workers(), "the process to end")
        until(lambda: "web" not in State(tmp_path / "var").running().lives, "nobody to ask it any more")


def test_a_worker_that_has_left_is_asked_no_more(tmp_path):
    settings = {**METRICS, "lane": {"inbound": {"stages": ["accept", "look", "queue", "route"]}}}
    settings["stage"] = {"look": {"use": "filters/look.py", "workers": 1}}
    source = '''"""Looks."""
from engine import Message


async def look(message: Message) -> Message:
    return message
'''
    with Postroad(tmp_path, settings, look=source) as server:
        until(lambda: measured(server, "postroad_up", worker="look-0") == 1, "an answer")
        server.change({"stage": {"look": {"workers": 0}}})
        server.reload()
        until(lambda: "look-0" not in server.workers(), "it to leave")
        until(lambda: ready(server) == [], "the others to be ready")
        until(lambda: 'worker="look-0"' not in fetched(server.ports["metrics"])[1], "nothing to be told of it")


def test_others_than_this_machine_need_tls_and_a_token(tmp_path):
    token = tmp_path / "token"
    token.write_text("sesame\n")
    settings = {
        "listen": {"metrics": "*:0"}, "metrics": {"token_file": str(token)},
        "tls": Certificates(tmp_path / "tls").settings,
    }  # fmt: skip
    with Postroad(tmp_path / "server", settings) as server:
        port = server.ports["metrics"]
        with pytest.raises((OSError, http.client.HTTPException)):
            fetched(port)
        assert fetched(port, tls=True)[0] == 401
        assert fetched(port, tls=True, Authorization="Bearer second")[0] == 401
        status, text = fetched(port, tls=True, Authorization="Bearer sesame")
        assert status == 200
        assert numbers(text, "postroad_tls_connections_total", side="server", version="TLSv1.3") >= 2
        assert numbers(text, "postroad_certificate_expiry_seconds") > time.time()
        assert "sesame" not in text
        until(lambda: json.loads(fetched(port, "/health/ready", tls=True)[1]) == {"ready": True}, "it to be ready")
        token.write_text("sesame\nsecond\n")
        server.reload()
        assert fetched(port, tls=True, Authorization="Bearer second")[0] == 200
        assert not [event for event in server.events if "sesame" in json.dumps(event)]


@contextlib.contextmanager
def crowd(port: int, *greetings: bytes) -> Iterator[list[socket.socket]]:
    """Clients that each send one of these, and then hold their connection as long as they may."""
    held: list[socket.socket] = []
    try:
        for number in range(300):
            client = socket.create_connection(("127.0.0.1", port), PATIENCE)
            held.append(client)
            with contextlib.suppress(OSError):
                client.sendall(greetings[number % len(greetings)])
        yield held
    finally:
        for client in held:
            client.close()


HOSTILE = (
    b"",
    b"GET /metrics HTTP/1.1\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000,
    b"GET /metrics HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n\xff\xff\xff\xff",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" * 50,
    b"\x16\x03\x01" + bytes(200),
    b"POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\nx",
    b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n" * 50,
    bytes(range(256)) * 40,
)


def test_hostile_clients_hurt_neither_the_mail_nor_who_asks_later(tmp_path):
    with Postroad(tmp_path, METRICS) as server:
        server.account("bob@example.org")
        stop, sent = threading.Event(), []

        def mail() -> None:
            while not stop.is_set():
                server.send(letter("meanwhile"), "bob@example.org")
                sent.append(1)

        sender = threading.Thread(target=mail)
        sender.start()
        try:
            with crowd(server.ports["metrics"], *HOSTILE):
                before = len(sent)
                until(lambda: len(sent) > before + 20, "mail to flow meanwhile")
                server.wait_for("connection-refused", process="web")
            until(lambda: _answers(server.ports["metrics"]), "a place")
            until(lambda: ready(server) == [], "it to be ready")
        finally:
            stop.set()
            sender.join()
        until(lambda: measured(server, "postroad_recipients_total", outcome="delivered") == len(sent), "all mail")
        assert server.all("worker-died") == []
        assert server.all("bug") == []
        assert measured(server, "postroad_worker_restarts_total") == 0


@pytest.mark.slow
def test_it_has_a_place_for_who_comes_when_the_slow_have_had_their_time(tmp_path):
    with Postroad(tmp_path, METRICS) as server:
        port = server.ports["metrics"]
        slow = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(50)]
        for client in slow:
            client.sendall(b"GET /metrics HTTP/1.1\r\n")
        with pytest.raises((OSError, http.client.HTTPException)):
            fetched(port)
        for client in slow:
            assert client.recv(100).startswith(b"HTTP/1.1 408")
            client.close()
        until(lambda: _answers(port), "a place")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return fetched(port)[0] == 200
    return False


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"listen": {"metrics": "*:9125"}}, "needs a token: write [metrics] token_file"),
        ({"listen": {"metrics": "192.0.2.1:9125"}}, "speaks TLS and needs a certificate: write [tls]"),
        ({"metrics": {"token_file": "nowhere"}, **METRICS}, "no such file or directory"),
        ({"metrics": {"token_file": "pipeline.toml"}}, "nothing listens; write [listen] metrics"),
    ],
)
def test_what_check_says(tmp_path, settings, problem):
    server = Postroad(tmp_path, settings)
    done = server.command("check")
    assert done.returncode == 2
    assert problem.lower() in (done.stdout + done.stderr).lower()


@pytest.mark.slow
def test_pages_open_beside_the_mail(tmp_path):
    """Who asks before they are there waits for them; a server that ends meanwhile ends as quietly as any."""
    settings = {"listen": {"web": "127.0.0.1:0"}}
    for ends_at_once in (False, True, True):
        with Postroad(tmp_path, settings) as server:
            if not ends_at_once:
                assert fetched(server.ports["web"])[0] != 503
            assert server.stop() == 0
            assert server.all("bug") == server.all("worker-died") == []
