"""What a running server sends to the next one is signed: dkimpy, OpenDKIM and our own verifier say so."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from engine.authentication.dkim import verify
from engine.authentication.fields import split_message
from engine.net.zone import Zone
from tests.authentication.zone import Asked
from tests.operations.test_submission import SETTINGS
from tests.support.background import dns, smtp_server
from tests.support.programs import Certificates, needs, path_of, run
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

ANN, BOB = "ann@example.org", "bob@elsewhere.example"
STRANGE = (
    "From: =?utf-8?q?J=C3=B6rg?=\r\n <ann@example.org>\r\n"
    "to:Bob <bob@elsewhere.example>,\r\n\t<c@elsewhere.example>\r\n"
    "SUBJECT:   a  subject \t with   spaces  \r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "List-Unsubscribe: <mailto:off@example.org>\r\n\r\n.a dot\r\n..\r\nspaces  \t \r\ngrüße\r\n\r\n\r\n"
).encode()
DKIMPY = """
import json, sys, dkim
records, message = json.load(open(sys.argv[1])), open(sys.argv[2], "rb").read()
signatures = dkim.DKIM(message)
find = lambda name, **_: records[name.decode().rstrip(".")].encode()
print([signatures.verify(index, dnsfunc=find) for index in range(2)])
"""


@pytest.fixture(scope="module")
def remote() -> Iterator[Remote]:
    with smtp_server(Remote(script={"RCPT no@elsewhere.example": "550 5.1.1 Nobody"})) as remote:
        yield remote


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, remote: Remote) -> Iterator[Postroad]:
    folder = tmp_path_factory.mktemp("signing")
    zone = Zone("elsewhere.example", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})
    with dns(zone) as address:
        settings = SETTINGS | {
            "tls": Certificates(folder / "tls").settings,
            "dns": {"servers": [address]},
            "lane": {**SETTINGS["lane"], "remote": {"stages": ["sign", "resolve", "relay"]}},
            "stage": {**SETTINGS["stage"], "resolve": {"port": remote.port}},
        }
        server = Postroad(folder, settings)
        done = server.command("dkim", "new", "example.org", "--selector", "a", "--force")
        assert done.returncode == 0, done.stderr
        with server:
            yield server.account(ANN)


@pytest.fixture(scope="module")
def records(server: Postroad) -> dict[str, str]:
    told = json.loads(server.command("dkim", "publish", "example.org", "--json").stdout)
    assert len(told) == 2
    return {row["name"]: row["text"] for row in told}


def sent(server: Postroad, remote: Remote, content: bytes, *recipients: str) -> bytes:
    """What the next server gets of a message that Ann submits."""
    remote.received.clear()
    with server.logged_in(ANN) as client:
        client.sendmail(ANN, recipients or [BOB], content)
    return received(remote)


def received(remote: Remote) -> bytes:
    return until(lambda: remote.received and remote.received[-1].content, "a message")  # type: ignore[no-any-return]


def ours(content: bytes, records: dict[str, str]) -> list[str]:
    """What our own verifier says of each signature."""
    fields, body = split_message([content])
    ask = Asked({name: text.encode() for name, text in records.items()})
    found = trio.run(verify, fields, body, ask, 4e9)
    return [f"{each.result} {each.domain} {each.selector} {each.algorithm}" for each in found]


BOTH = ["pass example.org a-rsa rsa-sha256", "pass example.org a-ed25519 ed25519-sha256"]


@needs("dkimverify", "opendkim")
@pytest.mark.parametrize(
    "content",
    [letter("short").replace(b"ann@example.net", ANN.encode()), STRANGE, STRANGE + b"a long line" * 50 + b"\r\n" * 9],
    ids=["plain", "strange", "longer"],
)
def test_others_verify_what_we_sign(
    server: Postroad, remote: Remote, records: dict[str, str], content: bytes, tmp_path: Path
) -> None:
    got = sent(server, remote, content)
    assert ours(got, records) == BOTH
    message, answers, keys = tmp_path / "message.eml", tmp_path / "records.json", tmp_path / "keys"
    message.write_bytes(got)
    answers.write_text(json.dumps(records))
    keys.write_text("".join(f"{name} {text}\n" for name, text in records.items()))
    (tmp_path / "conf").write_text(f"Mode v\nTestDNSData file:{keys}\n")

    python = Path(path_of("dkimverify")).read_text().splitlines()[0].removeprefix("#!").split()[0]
    assert run(python, "-Ic", DKIMPY, str(answers), str(message)).strip() == "[True, True]"

    said = run("opendkim", "-x", str(tmp_path / "conf"), "-v", "-v", "-t", str(message))
    assert re.findall(r"dkim=(\w+) .*?header\.a=(\S+)", said) == [("pass", "rsa-sha256"), ("pass", "ed25519-sha256")]


def test_each_attempt_is_signed_once(server: Postroad, remote: Remote, records: dict[str, str]) -> None:
    remote.script = {**remote.script, ".": ["451 4.3.0 Later", "250 2.0.0 Ok"]}
    assert ours(sent(server, remote, letter("again").replace(b"ann@example.net", ANN.encode())), records) == BOTH
    server.wait_for("deferred", to=BOB)


def test_our_own_report_is_signed(server: Postroad, remote: Remote, records: dict[str, str]) -> None:
    """A program on this machine sends, under an address elsewhere; the next server does not know its recipient."""
    remote.received.clear()
    server.send(letter("lost"), "no@elsewhere.example", sender=BOB)
    report = received(remote)
    assert b"\r\nContent-Type: multipart/report;" in report
    assert ours(report, records) == BOTH


def test_mail_of_strangers_is_not_signed(server: Postroad, remote: Remote, records: dict[str, str]) -> None:
    """An alias leads it out again."""
    assert server.command("alias", "add", "out@example.org", BOB).returncode == 0
    server.change({"stage": {"accept": {"relay_networks": []}}})
    assert server.reload().returncode == 0
    remote.received.clear()
    server.send(letter("forged").replace(b"ann@example.net", ANN.encode()), "out@example.org")
    assert ours(received(remote), records) == []


def test_a_new_key_needs_no_restart(server: Postroad, remote: Remote, records: dict[str, str]) -> None:
    done = server.command("dkim", "rotate", "example.org", "--selector", "b", "--force")
    assert done.returncode == 0, done.stderr
    told = json.loads(server.command("dkim", "publish", "example.org", "--json").stdout)
    assert [row["standing"] for row in told] == ["signing", "signing", "retired", "retired"]
    now = {row["name"]: row["text"] for row in told}
    mail = letter("new").replace(b"ann@example.net", ANN.encode())
    new = [line.replace(" a-", " b-") for line in BOTH]
    until(lambda: ours(sent(server, remote, mail), now) == new, "signatures by the new keys")
