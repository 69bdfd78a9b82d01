"""SIGTERM: what is under way is finished or stays in the queue; the next start goes on with it."""

import signal
import smtplib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.load import Load, subjects
from tests.support.remote import SILENCE, Remote
from tests.support.server import PATIENCE, Postroad, Settings, letter, refuses, until

BOB = "bob@example.org"


@contextmanager
def remote_server(remote: Remote) -> Iterator[tuple[str, Remote]]:
    """The server for remote.test, and the address of the zone that says so."""
    with dns(Zone("remote.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})) as address, smtp_server(remote):
        yield address, remote


def towards(address: str, remote: Remote) -> Settings:
    return {"dns": {"servers": [address]}, "stage": {"resolve": {"port": remote.port}}}


def test_a_stop_under_load_loses_nothing(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(BOB)
        with Load(server, BOB, clients=8, pause=0) as load:
            assert server.stop() == 0
        for error in load.broken:  # each client was told: 421, then the end of the connection
            assert isinstance(error, smtplib.SMTPException | OSError), error
        server.start()
        until(lambda: set(load.accepted) <= set(subjects(server.mailbox(BOB))), "the messages that were accepted")
        found = subjects(server.mailbox(BOB))
        assert len(found) == len(set(found))
        # A client that never heard an answer may find its message delivered; more than one a client cannot be.
        assert len(found) - len(load.accepted) <= 8


def test_a_client_in_the_midst_of_a_message_may_finish_it(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server.account(BOB)
        with server.dialogue() as idle, server.dialogue().start(BOB) as busy:
            busy.ask("DATA", "354")
            busy.send(b"Subject: slow\r\n\r\n")
            idle.ask("NOOP", "250")
            server._popen.send_signal(signal.SIGTERM)
            idle.expect("421 4.3.2")
            assert idle.ended()
            until(lambda: refuses(server.ports["smtp"]), "the port to be closed")
            busy.send(b"the end\r\n.\r\n")
            busy.expect("250")
            busy.expect("421 4.3.2")
        assert server._popen.wait(PATIENCE) == 0
        server.start()
        assert subjects(server.mail_for(BOB)) == ["slow"]


def test_a_relay_in_progress_is_finished(tmp_path: Path) -> None:
    with remote_server(Remote()) as (address, remote):
        remote.delay = 1.0
        with Postroad(tmp_path, towards(address, remote)) as server:
            server.send(letter("slow"), "bob@remote.test")
            until(lambda: remote.commands and remote.commands[-1].startswith("DATA"), "the content to be on its way")
            assert server.stop() == 0
            server.wait_for("delivered", to="bob@remote.test")
            server.start()
            server.send(letter("next"), "bob@remote.test")
            until(lambda: len(remote.received) == 2, "the next message")
            assert subjects([b"x\r\n" + received.content for received in remote.received]) == ["slow", "next"]


@pytest.mark.slow
def test_a_relay_that_is_stuck_holds_up_the_stop_for_its_grace_at_most(tmp_path: Path) -> None:
    """The next start sends the message again."""
    silent = Remote(script={"RCPT slow@remote.test": SILENCE})
    with remote_server(silent) as (address, remote), Postroad(tmp_path, towards(address, remote)) as server:
        server.send(letter("slow"), "slow@remote.test")
        until(lambda: remote.commands and "RCPT" in remote.commands[-1], "the relay to be held up")
        began = time.monotonic()
        assert server.stop() == 0
        print(f"stopped after {time.monotonic() - began:.1f} s")
        remote.script = {}
        server.start()
        until(lambda: remote.received, "the message at the far side")
        assert remote.received[0].recipients == ("slow@remote.test",)


def test_ctrl_c_is_as_good(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        server._popen.send_signal(signal.SIGINT)
        assert server._popen.wait(PATIENCE) == 0
        assert server.noise == []


def test_a_second_server_on_the_same_data_does_not_start(tmp_path: Path) -> None:
    with Postroad(tmp_path) as server:
        second = server.command("run")
        assert second.returncode == 1
        assert f"a Postroad runs on {tmp_path}/var already, with process id {server.pid}" in second.stderr
        server.account(BOB).send(letter("unharmed"), BOB)
        server.mail_for(BOB)
