"""An edited pipeline.toml under a running load: in force at once, for open connections too, and nothing lost."""

import os
import signal
import socket
from pathlib import Path

import pytest

from tests.support.load import Load, subjects
from tests.support.programs import Certificates
from tests.support.server import Postroad, Settings, free_port, letter, refuses, until

BOB = "bob@example.org"
NEEDS_SUBJECT = (Path(__file__).parents[2] / "filters" / "needs_subject.py").read_text()
NO_SUBJECT = b"From: ann@example.net\r\n\r\nno subject\r\n"

STAMP = '''
"""Says which code and which process a message met."""
import os
from engine import Message

async def stamp(message: Message, *, text: str = "first") -> Message:
    return message.with_header("X-Stamp", f"{text} code %s process {os.getpid()}")
'''


def lane(*filters: str) -> Settings:
    return {"inbound": {"stages": ["accept", *filters, "queue", "route"]}}


def stamps(messages: list[bytes]) -> list[list[str]]:
    return [message.partition(b"X-Stamp: ")[2].partition(b"\r\n")[0].decode().split() for message in messages]


def all_arrived(server: Postroad, load: Load) -> None:
    """Every accepted message is in the mailbox, once."""
    until(lambda: len(server.mailbox(BOB)) >= len(load.accepted), "the messages that were accepted")
    assert sorted(subjects(server.mailbox(BOB))) == sorted(load.accepted)


def test_add_a_filter_under_load(tmp_path: Path) -> None:
    with Postroad(tmp_path, needs_subject=NEEDS_SUBJECT) as server:
        server.account(BOB, "eve@example.org")
        with server.dialogue() as old:
            old.start("eve@example.org").content(NO_SUBJECT)
            with Load(server, BOB) as load:
                server.change(
                    {"lane": lane("needs_subject"), "stage": {"needs_subject": {"use": "filters/needs_subject.py"}}}
                )
                done = server.reload()
                assert (done.returncode, done.stdout) == (0, "revision 2 is in force\n")
                old.start("eve@example.org").content(NO_SUBJECT, "550 5.7.1 Please write a subject line")
                with server.dialogue() as new:
                    new.start("eve@example.org").content(NO_SUBJECT, "550 5.7.1")
                load.flows()
                server.change({"lane": lane(), "stage": {"needs_subject": None}})
                assert server.reload().returncode == 0
                old.start("eve@example.org").content(NO_SUBJECT)
                load.flows()
        assert (load.refused, load.put_off, load.broken) == ([], [], [])
        all_arrived(server, load)
        server.wait_for("revision-retired", revision=1)
        server.wait_for("revision-retired", revision=2)


def test_many_reloads_under_load(tmp_path: Path) -> None:
    with Postroad(tmp_path, stamp=STAMP % 1) as server:
        server.account(BOB)
        server.change({"lane": lane("stamp"), "stage": {"stamp": {"use": "filters/stamp.py"}}})
        with Load(server, BOB) as load:
            for number in range(5):
                server.change({"stage": {"stamp": {"text": f"round-{number}", "workers": (0, 2, 1)[number % 3]}}})
                assert server.reload().returncode == 0
                load.flows()
        assert (load.refused, load.put_off, load.broken) == ([], [], [])
        all_arrived(server, load)
        assert {stamp[0] for stamp in stamps(server.mailbox(BOB)) if stamp} == {f"round-{n}" for n in range(5)}
        assert server.all("worker-died") == []
        assert server.all("bug") == []
        until(lambda: len(server.workers()) == 5 + 2, "the filter's former workers to end")


def test_a_changed_filter_file(tmp_path: Path) -> None:
    settings = {"lane": lane("stamp"), "stage": {"stamp": {"use": "filters/stamp.py"}}}
    with Postroad(tmp_path, settings, stamp=STAMP % 1) as server:
        server.account(BOB)
        with server.dialogue() as client:
            client.start(BOB).content(letter("before"))
            server.filter("stamp", STAMP % 2)
            client.start(BOB).content(letter("edited, not reloaded"))
            assert server.reload().returncode == 0
            client.start(BOB).content(letter("after"))
        mail = server.mail_for(BOB, 3)
        codes = dict(zip(subjects(mail), (stamp[2] for stamp in stamps(mail)), strict=True))
        assert codes == {"before": "1", "edited, not reloaded": "1", "after": "2"}


def test_a_filter_in_processes_of_its_own(tmp_path: Path) -> None:
    settings = {"lane": lane("stamp"), "stage": {"stamp": {"use": "filters/stamp.py", "workers": 2}}}
    with Postroad(tmp_path, settings, stamp=STAMP % 1) as server:
        server.account(BOB)
        workers = server.workers()

        def met() -> set[int]:
            return {int(stamp[4]) for stamp in stamps(server.mailbox(BOB))}

        with Load(server, BOB, clients=8, pause=0) as load:
            until(lambda: met() == {workers["stamp-0"], workers["stamp-1"]}, "mail through both processes")
        all_arrived(server, load)
        assert {process for _, process in [(0, event["process"]) for event in server.all("accepted")]} <= {
            "mail-0",
            "mail-1",
        }


WRONG = [
    ({"lane": lane("needs_subjekt")}, "no stage is named needs_subjekt; did you mean needs_subject"),
    ({"stage": {"accept": {"max_sice": "1 MB"}}}, "unknown setting; did you mean max_size?"),
    ({"lane": lane("broken"), "stage": {"broken": {"use": "filters/broken.py"}}}, "broken.py does not load: NameError"),
    ({"route": [{"to": "*", "lane": "nowhere"}]}, "there is no lane nowhere"),
]


def test_a_wrong_edit_changes_nothing(tmp_path: Path) -> None:
    with Postroad(tmp_path, needs_subject=NEEDS_SUBJECT, broken="x = undefined\n") as server:
        server.account(BOB)
        server.change({"lane": lane("needs_subject"), "stage": {"needs_subject": {"use": "filters/needs_subject.py"}}})
        assert server.reload().returncode == 0
        good = server.settings
        with Load(server, BOB) as load:
            for changes, text in WRONG:
                server.settings = good
                server.change(changes)
                done = server.reload()
                assert done.returncode == 2, (done.stdout, done.stderr)
                assert text in done.stderr
                load.flows()
            assert server.all("reload-refused") == []  # the command saw it first, and did not even ask
        with server.dialogue().start(BOB) as client:
            client.content(NO_SUBJECT, "550 5.7.1")
        all_arrived(server, load)


OPENS_BADLY = '''
"""Good to look at, but it cannot be opened."""
from dataclasses import dataclass
from engine import Message

@dataclass
class Model:
    async def __aenter__(self) -> "Model":
        raise FileNotFoundError("the model is missing")

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __call__(self, message: Message) -> Message:
        return message
'''


@pytest.mark.parametrize("workers", [0, 2])
def test_a_filter_that_cannot_be_opened_changes_nothing(tmp_path: Path, workers: int) -> None:
    with Postroad(tmp_path, model=OPENS_BADLY) as server:
        server.account(BOB)
        before = server.workers()
        with Load(server, BOB) as load:
            server.change({"lane": lane("model"), "stage": {"model": {"use": "filters/model.py", "workers": workers}}})
            done = server.reload()
            assert done.returncode == 1
            assert "the model is missing" in done.stderr
            assert "the model is missing" in server.wait_for("reload-refused")["error"]
            load.flows()
            server.filter("model", OPENS_BADLY.replace("raise FileNotFoundError", "return self  # "))
            done = server.reload()
            assert done.returncode == 0, done.stderr
            load.flows()
        assert load.broken == []
        all_arrived(server, load)
        assert before.items() <= server.workers().items()  # nobody died of it


@pytest.mark.slow
def test_a_worker_that_was_dead_during_a_refused_reload_comes_back(tmp_path: Path) -> None:
    with Postroad(tmp_path, model=OPENS_BADLY) as server:
        server.account(BOB)

        def kill() -> None:
            life = server.all("worker-started", worker="readers-0")[-1]["life"]
            os.kill(server.worker("readers-0"), signal.SIGKILL)
            server.wait_for("worker-died", worker="readers-0", life=life)

        def comes_back(count: int) -> None:
            until(lambda: len(server.all("worker-restarted", worker="readers-0")) >= count, "a restart", 300)

        for count in range(1, 4):  # each time it is restarted more slowly
            kill()
            comes_back(count)
        server.change({"lane": lane("model"), "stage": {"model": {"use": "filters/model.py", "workers": 1}}})
        kill()
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for("reload-refused", seconds=300)
        comes_back(4)
        assert server.mailbox(BOB) == []


def test_listeners_come_and_go(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(BOB)
        port = free_port()
        with Load(server, BOB) as load:
            server.change(
                {"lane": {"inbound": {"listen": ["smtp", "submission"]}}, "listen": {"submission": f"127.0.0.1:{port}"}}
            )
            assert server.reload().returncode == 0
            server.ports["submission"] = port
            client = server.smtp("submission")
            client.sendmail("ann@example.net", [BOB], letter("by another door"))
            server.change({"lane": {"inbound": {"listen": ["smtp"]}}, "listen": {"submission": None}})
            assert server.reload().returncode == 0
            until(lambda: refuses(port), "the listener to be gone")
            client.sendmail("ann@example.net", [BOB], letter("on the connection that was open"))
            client.quit()
            load.flows()
        assert load.broken == []
        load.accepted += ["by another door", "on the connection that was open"]
        all_arrived(server, load)


def test_a_listener_that_cannot_be_bound_changes_nothing(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.account(BOB)
        port = taken.getsockname()[1]
        server.change(
            {"lane": {"inbound": {"listen": ["smtp", "submission"]}}, "listen": {"submission": f"127.0.0.1:{port}"}}
        )
        done = server.reload()
        assert done.returncode == 1
        assert f"cannot bind 127.0.0.1:{port}: the port is in use" in done.stderr
        server.send(letter("still here"), BOB)
        server.mail_for(BOB)


def test_a_new_local_domain_and_a_new_certificate_are_in_force_at_once(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(BOB)
        with server.dialogue() as client:
            assert "STARTTLS" not in client.ask("EHLO client.example.net", "250")
            server.change(
                {"domains": {"local": ["example.org", "new.example"]}, "tls": Certificates(tmp_path / "tls").settings}
            )
            assert server.reload().returncode == 0
            server.account("eve@new.example")
            client.start("eve@new.example").content(letter("new"))
        with server.smtp() as fresh:
            fresh.starttls()
        assert subjects(server.mail_for("eve@new.example")) == ["new"]


HOLDS = '''
"""Holds each message until there is a file `go`, and says whether it was closed meanwhile."""
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import trio
from engine import Message

@dataclass
class Holds:
    _: KW_ONLY
    text: str = "first"

    async def __aenter__(self) -> "Holds":
        self.closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        self.closed = True

    async def __call__(self, message: Message) -> Message:
        Path(__file__).with_name("come").touch()
        while not Path(__file__).with_name("go").exists():
            await trio.sleep(0.05)
        return message.with_header("X-Held", f"{self.text} {self.closed}")
'''


def test_a_stage_that_two_former_revisions_share_is_open_until_both_are_through(tmp_path: Path) -> None:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "queue", "holds", "route"]}},
        "stage": {"holds": {"use": "filters/holds.py"}},
    }
    with Postroad(tmp_path, settings, holds=HOLDS) as server:
        server.account(BOB)
        server.send(letter("held"), BOB)
        until((tmp_path / "filters" / "come").exists, "it to be held")
        server.change({"queue": {"delay_warning": "3h"}})
        assert server.reload().returncode == 0
        server.change({"stage": {"holds": {"text": "second"}}})
        assert server.reload().returncode == 0
        server.wait_for("revision-retired", revision=2)
        (tmp_path / "filters" / "go").touch()
        (message,) = server.mail_for(BOB)
        assert b"X-Held: first False\r\n" in message
        server.wait_for("revision-retired", revision=1)


def test_a_message_is_not_left_waiting_for_a_worker_that_died_after_a_reload(tmp_path: Path) -> None:
    settings = {
        "lane": {"inbound": {"stages": ["accept", "holds", "queue", "route"]}},
        "stage": {"holds": {"use": "filters/holds.py", "workers": 1}},
    }
    with Postroad(tmp_path, settings, holds=HOLDS) as server, server.dialogue() as client:
        server.account(BOB)
        client.start(BOB).ask("DATA", "354")
        client.send(letter("held") + b".\r\n")
        until((tmp_path / "filters" / "come").exists, "it to be held")
        server.change({"queue": {"delay_warning": "3h"}})
        assert server.reload().returncode == 0
        os.kill(server.worker("holds-0"), signal.SIGKILL)
        client.expect("451 4.3.0")
        (tmp_path / "filters" / "go").touch()
        client.start(BOB).content(letter("again"))
        assert subjects(server.mail_for(BOB)) == ["again"]
        server.wait_for("revision-retired", revision=1)
