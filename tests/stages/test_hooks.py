"""The stage hooks against a real HTTP server: what it is asked, and what each of its answers leads to."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from engine import (
    Defer,
    Discard,
    Duration,
    Each,
    Envelope,
    Message,
    MessageId,
    Recipient,
    Reject,
    Route,
    Session,
    Size,
    Verdict,
)
from engine.message import PARK, RELEASED, Octets
from engine.net.names import Hostname
from engine.scanning import Unreachable
from engine.verdict import Changed
from stages.hooks import Hooks
from tests.support.http_server import HttpServer
from tests.support.messages import LETTER, message

ACCEPT = {"action": "accept"}
SESSION = Session(peer="192.0.2.7", helo="client.example.net", tls="TLSv1.3 TLS_X", login="ann@example.org")


def saying(answer: object) -> HttpServer:
    return HttpServer(lambda _: answer if isinstance(answer, bytes) else json.dumps(answer).encode())


@contextmanager
def asking(server: HttpServer, **settings: Any) -> Iterator[Hooks]:
    """The stage that asks the server, which serves meanwhile."""
    with server.serving(), stage(server, **settings) as hooks:
        yield hooks


def stage(server: HttpServer, scheme: str = "http", **settings: Any) -> Hooks:
    return Hooks(
        Hostname("mx.example.org"), url=f"{scheme}://127.0.0.1:{server.port}/hook?x=1", name="judge", **settings
    )


async def verdict(answer: object, letter: Message | None = None, **settings: Any) -> Verdict:
    with asking(saying(answer), **settings) as hooks:
        return await hooks(letter or message())


async def changed(*modifications: dict[str, object], letter: Message | None = None) -> bytes:
    """The octets of the message after these modifications."""
    found = await verdict({"action": "accept", "modifications": modifications}, letter)
    assert isinstance(found, Message)
    return b"".join(found.chunks())


# -- what it is asked


async def test_the_message_and_its_envelope() -> None:
    recipients = (Recipient("bob@example.org", notify="NEVER"), Recipient("eve@example.org"))
    content = Octets(b"From: ann@example.org\r\nSubject: a\r\n b\r\n\r\nHello \xff\r\n")
    envelope = Envelope("ann@example.org", recipients, SESSION, prepended=b"Received: from us\r\n", smtputf8=True)
    letter = Message(MessageId.new(), envelope, content).with_fact("iprev.name", "host.example.net")
    with asking(server := saying(ACCEPT)) as hooks:
        await hooks(letter)
    [asked] = server.asked
    assert asked.path == "/hook?x=1"
    assert asked.headers["Content-Type"] == "application/json"
    assert json.loads(asked.body) == {
        "context": {
            "stage": "data",
            "client": {
                "ip": "192.0.2.7", "port": 0, "ptr": "host.example.net", "helo": "client.example.net",
                "activeConnections": 1,
            },
            "sasl": {"login": "ann@example.org"},
            "tls": {"version": "TLSv1.3", "cipher": "TLS_X"},
            "server": {"name": "mx.example.org", "port": 0, "ip": None},
            "queue": {"id": str(letter.id)},
            "protocol": {"version": 1},
        },
        "envelope": {
            "from": {
                "address": "ann@example.org",
                "parameters": {"SIZE": str(letter.size), "BODY": "7BIT", "SMTPUTF8": ""},
            },
            "to": [
                {"address": "bob@example.org", "parameters": {"NOTIFY": "NEVER"}},
                {"address": "eve@example.org", "parameters": {}},
            ],
        },
        "message": {
            "headers": [["From", "ann@example.org"], ["Subject", "a\r\n b"]],
            "serverHeaders": [["Received", "from us"]],
            "contents": "Hello \ufffd\r\n",
            "size": letter.size,
        },
    }  # fmt: skip


async def test_a_large_body_is_cut() -> None:
    with asking(server := saying(ACCEPT), max_size=Size(100)) as hooks:
        await hooks(large := message(content=LETTER + b"x" * 1_000_000))
    said = json.loads(server.asked[0].body)["message"]
    assert (len(said["contents"]), said["size"]) == (100, large.size)


async def test_a_message_without_a_body() -> None:
    with asking(server := saying(ACCEPT)) as hooks:
        await hooks(message(content=b"Subject: x\r\n"))
    said = json.loads(server.asked[0].body)["message"]
    assert (said["headers"], said["contents"]) == ([["Subject", "x"]], "")


async def test_one_connection_for_many_messages() -> None:
    with asking(server := saying(ACCEPT)) as hooks:
        for _ in range(5):
            await hooks(message())
    assert (len(server.asked), server.connections) == (5, 1)


async def test_a_server_that_was_restarted_is_asked_again() -> None:
    server = saying(ACCEPT)
    with server.serving():
        hooks = stage(server)
        await hooks(message())
    with server.serving(port=server.port), hooks:
        assert isinstance(await hooks(message()), Message)


# -- what it answers


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (None, (Reject, "This message was refused by a filter", "5.7.1")),
        ({"status": 550, "enhancedStatus": "5.7.9", "message": "No"}, (Reject, "No", "5.7.9")),
        ({"status": 550, "enhanced_status": "5.7.9", "message": "No"}, (Reject, "No", "5.7.9")),
        ({"status": 451, "enhancedStatus": "4.7.9", "message": "Later"}, (Defer, "Later", "4.7.9")),
        ({"status": 451, "enhancedStatus": "5.7.9"}, (Defer, "A filter asks you to come again later", "4.7.1")),
        ({"enhancedStatus": "nonsense\r\n"}, (Reject, "This message was refused by a filter", "5.7.1")),
    ],
)
async def test_refused(response: object, expected: tuple[type, str, str]) -> None:
    found = await verdict({"action": "reject", "response": response})
    assert isinstance(found, Reject | Defer)
    assert (type(found), found.text, found.code) == expected


async def test_accepted_discarded_and_parked() -> None:
    found = await verdict(ACCEPT)
    assert isinstance(found, Message)
    assert found.fact("scan.judge.action") == "accept"
    assert await verdict({"action": "discard"}) == Discard("judge")
    parked = {"action": "quarantine", "response": {"message": "macros"}}
    found = await verdict(parked)
    assert isinstance(found, Message)
    assert found.fact(PARK) == "macros"
    found = await verdict(parked, message().with_fact(RELEASED, ["macros"]))
    assert isinstance(found, Message)
    assert found.fact(PARK) is None


async def test_header_fields_are_added_changed_and_taken_away() -> None:
    letter = message(content=b"A: 1\r\nA: 2\r\n 2\r\nB: 1\r\nC: 1\r\n\r\nhello\r\n")
    found = await changed(
        {"type": "addHeader", "name": "X-Spam", "value": " Yes\r\n"},
        {"type": "insertHeader", "index": 1, "name": "X-Score", "value": "1\r\n\t2"},
        {"type": "changeHeader", "index": 2, "name": "a", "value": "3"},
        {"type": "changeHeader", "index": 1, "name": "b", "value": ""},
        {"type": "deleteHeader", "index": 1, "name": "C"},
        letter=letter,
    )
    assert found == b"a: 3\r\nX-Score: 1 2\r\nX-Spam: Yes\r\nA: 1\r\n\r\nhello\r\n"


async def test_fields_are_written_as_any_server_takes_them() -> None:
    letter = message(content=b"A: 1\r\n\r\nhello\r\n")
    found = await changed(
        {"type": "addHeader", "name": "X-Why", "value": "Grüße"},
        {"type": "changeHeader", "index": 1, "name": "A", "value": "x" * 3000},
        letter=letter,
    )
    assert b"X-Why: =?utf-8?" in found
    assert found.isascii()
    assert max(map(len, found.split(b"\r\n"))) <= 998
    for name in ("X" * 101, "", "A:B"):
        with pytest.raises(Unreachable, match="field that is none"):
            await changed({"type": "addHeader", "name": name, "value": "1"})


async def test_the_body_is_replaced() -> None:
    letter = message().with_header("X-Ours", "1")
    found = await changed({"type": "replaceContents", "value": "goodbye\n"}, letter=letter)
    assert found == b"X-Ours: 1\r\n" + LETTER.replace(b"hello\r\n", b"goodbye\r\n", 2).replace(
        b"Subject: goodbye", b"Subject: hello"
    )


async def test_the_envelope_is_changed() -> None:
    answer = {
        "action": "accept",
        "modifications": [
            {"type": "changeFrom", "value": "new@example.net", "parameters": {}},
            {"type": "deleteRecipient", "value": "b@rcpt.test"},
        ],
    }
    found = await verdict(answer, message("b@rcpt.test", "c@rcpt.test"))
    assert isinstance(found, Changed)
    assert isinstance(found.verdict, Each)
    assert list(found.verdict.verdicts) == ["b@rcpt.test"]
    assert isinstance(found.verdict.verdicts["b@rcpt.test"], Discard)
    assert found.message.sender == "new@example.net"


@pytest.mark.parametrize("address", ["b@rcpt.test", "<B@RCPT.test>", " b@rcpt.test "])
async def test_recipients_are_added_and_taken_away_however_they_are_written(address: str) -> None:
    changes = [
        {"type": "deleteRecipient", "value": address},
        {"type": "deleteRecipient", "value": "nobody@rcpt.test"},
        {"type": "addRecipient", "value": "<new@rcpt.test>", "parameters": {}},
        {"type": "addRecipient", "value": "C@rcpt.test"},
        {"type": "addHeader", "name": "X-Hook", "value": "yes"},
    ]
    found = await verdict({"action": "accept", "modifications": changes}, message("b@rcpt.test", "c@rcpt.test"))
    assert isinstance(found, Changed)
    assert isinstance(found.verdict, Each)
    assert isinstance(found.verdict.verdicts["b@rcpt.test"], Discard)
    assert found.verdict.verdicts["c@rcpt.test"] == Route("", ("c@rcpt.test", "new@rcpt.test"))
    assert found.message.header("X-Hook") == "yes"


@pytest.mark.parametrize(
    "change",
    [
        {"type": "addRecipient", "value": "eve"},
        {"type": "addRecipient", "value": ""},
        {"type": "changeFrom", "value": "a@b> SIZE=1"},
        {"type": "changeFrom", "value": "a"},
        {"type": "changeFrom", "value": "jürgen@sender.test"},
        {"type": "changeFrom", "value": f"a@{'long.' * 60}test"},
        {"type": "addHeader", "name": "Not a name", "value": "x"},
        {"type": "dance"},
        {"type": "addHeader", "name": "X-A", "value": "1 " * 200_000},
    ],
)
async def test_what_cannot_be_done_is_not_left_out_in_silence(change: dict[str, object]) -> None:
    with pytest.raises(Unreachable, match="judge: asks for"):
        await changed(change)


async def test_more_changes_than_anybody_needs() -> None:
    with pytest.raises(Unreachable, match="judge: asks for more than 1000 modifications"):
        await changed(*[{"type": "addHeader", "name": "X-A", "value": "1"}] * 1001)


async def test_a_body_that_it_has_not_seen_whole_is_not_replaced() -> None:
    change = {"action": "accept", "modifications": [{"type": "replaceContents", "value": "x"}]}
    with pytest.raises(Unreachable, match="cannot be done: replaceContents"):
        await verdict(change, message(content=LETTER + b"x" * 1000), max_size=Size(100))


# -- before there is a message


async def test_it_is_asked_where_the_settings_say_and_nowhere_else() -> None:
    with asking(server := saying(ACCEPT), stages=("connect", "mail", "rcpt")) as hooks:
        assert await hooks.at_connect(SESSION) is None
        assert await hooks.at_sender(SESSION, "ann@example.org") is None
        assert await hooks.at_recipient(SESSION, "ann@example.org", "bob@example.org") is None
        assert await hooks(letter := message()) is letter
    asked = [json.loads(one.body) for one in server.asked]
    assert [one["context"]["stage"] for one in asked] == ["connect", "mail", "rcpt"]
    assert [one.get("envelope") for one in asked] == [
        None,
        {"from": {"address": "ann@example.org"}, "to": []},
        {"from": {"address": "ann@example.org"}, "to": [{"address": "bob@example.org"}]},
    ]
    with asking(server := saying(ACCEPT)) as hooks:
        assert await hooks.at_connect(SESSION) is None
        assert await hooks.at_sender(SESSION, "") is None
        assert await hooks.at_recipient(SESSION, "", "bob@example.org") is None
    assert server.asked == []


async def test_it_refuses_a_recipient() -> None:
    with asking(saying({"action": "reject", "response": {"status": 450}}), stages=("rcpt",)) as hooks:
        assert isinstance(await hooks.at_recipient(SESSION, "", "bob@example.org"), Defer)


# -- secrets and trust


async def test_secrets_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("Authorization: Bearer abc\nX-Tenant: 7\n")
    with asking(server := saying(ACCEPT), headers_file=file) as hooks:
        await hooks(message())
    assert server.asked[0].headers["Authorization"] == "Bearer abc"
    assert server.asked[0].headers["X-Tenant"] == "7"


async def test_certificates_are_verified(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    file = tmp_path / "authority.pem"
    authority.cert_pem.write_to_path(file)
    server = saying(ACCEPT)
    with server.serving(context):
        with stage(server, "https") as hooks, pytest.raises(Unreachable):
            await hooks(message())
        with stage(server, "https", trust=file) as hooks:
            assert isinstance(await hooks(message()), Message)


# -- when it fails


@pytest.mark.parametrize(
    ("answer", "why"),
    [(b"", "nonsense"), (b"[]", "nonsense"), ({"action": "maybe"}, "nonsense"), ({}, "nonsense"),
     ({"action": "accept", "modifications": [{}]}, "nonsense"),
     (b'{"action": "accept", "more": ' + b"[" * 100_000, "nonsense")],
)  # fmt: skip
async def test_what_is_no_answer(answer: object, why: str) -> None:
    with pytest.raises(Unreachable, match=f"judge: {why}"):
        await verdict(answer)


async def test_a_status_that_is_no_success() -> None:
    server = saying(ACCEPT)
    server.status = 500
    with asking(server) as hooks, pytest.raises(Unreachable, match="status 500"):
        await hooks(message())


async def test_nobody_there_and_then_it_is_left_alone() -> None:
    server = saying(ACCEPT)
    with server.serving():
        hooks = stage(server)
    with hooks:
        for _ in range(3):
            with pytest.raises(Unreachable, match="refused"):
                await hooks(message())
        with pytest.raises(Unreachable, match="left alone"):
            await hooks(message())


# -- settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "ftp://a"}, "https://"),
        ({"url": "https://"}, "https://"),
        ({"url": "https://u:p@a/"}, "https://"),
        ({"url": "https://a/x y"}, "https://"),
        ({"url": "https://a:b/"}, "https://"),
        ({"url": "http://filter.example.org/"}, "plain http"),
        ({"url": "http://[::1]:1/", "headers_file": Path("/nowhere")}, "headers_file"),
        ({"url": "http://localhost/", "headers_file": Path(__file__)}, "lines like"),
        ({"url": "https://a/", "trust": Path(__file__)}, "trust"),
        ({"url": "https://a/", "name": "a-b"}, "letters"),
        ({"url": "https://a/", "at_once": 0}, "at least 1"),
        ({"url": "https://a/", "time_limit": Duration(0)}, "more than nothing"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], said: str) -> None:
    assert [said in text for text in Hooks.check(**settings)] == [True]
