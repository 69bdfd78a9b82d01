"""The first start: a person answers `postroad init`, the server runs by it, and mail flows."""

import imaplib
import smtplib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.load import Load
from tests.support.server import PASSWORD, ROOT, Postroad, blind, letter, port_offset, until
from tests.support.terminal import in_terminal


@pytest.fixture
def offset() -> int:
    return port_offset()


def begun(folder: Path) -> Postroad:
    """The server of a configuration that is there."""
    server = Postroad(folder.with_name("unused"))
    server.folder, server.config = folder, folder / "pipeline.toml"
    return server


def test_a_person_sets_it_up_and_mail_flows(tmp_path: Path, offset: int) -> None:
    folder = tmp_path / "mail"
    command = ("init", str(folder), "--bind", "127.0.0.1", "--port-offset", str(offset))
    with in_terminal(sys.executable, "-m", "engine", *command, environment={"PYTHONPATH": str(ROOT)}) as terminal:
        for question, answer in (
            ("Name of this machine", "mail.firma.test\r"),
            ("Domains whose mail", "no domain at all!\r"),
            ("no domain name", "firma.test, other.test\r"),
            ("First account", "ann\r"),
            ("Its password", f"{PASSWORD}\r"),
            ("The same again", f"{PASSWORD}\r"),
            ("TLS certificate", "self-signed\r"),
            ("Server that takes what goes out", "\r"),
            ("Who looks for spam", "own\r"),
            ("Write this?", "y\r"),
        ):
            until(lambda question=question: question in terminal.shown, f"the question {question}")
            terminal.type(answer)
    assert PASSWORD not in terminal.shown
    assert "ann@firma.test" in terminal.shown
    with begun(folder) as server:
        send_and_read(server, "ann@firma.test", PASSWORD)


def test_what_options_have_written_serves(tmp_path: Path, offset: int) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "engine", "init", str(tmp_path / "mail"), "--bind", "127.0.0.1", "--port-offset",
            str(offset), "--hostname", "mail.firma.test", "--tls", "self-signed", "--scanner", "own", "--yes",
        ],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    said = done.stdout
    password = said.partition("written nowhere else: ")[2].split()[0]
    with begun(tmp_path / "mail") as server:
        send_and_read(server, "postmaster@firma.test", password)
        with Load(server, "postmaster@firma.test", clients=2, pause=0.05) as load:
            load.flows()
            said = server.command("doctor", "--only", "server", "--only", "queue", "--only", "ports", "--only", "tls")
            load.flows()
        assert f"process {server.pid} serves" in said.stdout, said.stderr
        assert (load.broken, load.refused) == ([], [])
        until(lambda: len(server.all("delivered")) > len(load.accepted), "all that was taken")


def send_and_read(server: Postroad, address: str, password: str) -> None:
    """What a mail program does: submit by either port, and read by IMAP."""
    with smtplib.SMTP("127.0.0.1", server.ports["submission"]) as client:
        client.starttls(context=blind())
        client.login(address, password)
        client.sendmail(address, [address], letter("the first one", author=address))
    server.wait_for("delivered")
    with imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=blind()) as reader:
        reader.login(address, password)
        reader.select()
        _, found = reader.fetch("1", "(BODY[HEADER.FIELDS (SUBJECT)])")
    assert b"the first one" in found[0][1]  # type: ignore[index]
