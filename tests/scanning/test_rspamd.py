"""rspamd, the real one: its actions, what it is told of a message, the changes that it asks for, its own trouble."""

import json
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from engine import Message, Recipient, Session
from engine.scanning import ALL, Finding, Unreachable
from engine.scanning.rspamd import Rspamd, RspamdSettings
from tests.support.messages import message
from tests.support.programs import marks
from tests.support.scanners import GTUBE, PASSWORD
from tests.support.scanners import Rspamd as Daemon

pytestmark = marks("rspamd")

HOSTNAME = "mx.example.org"


def scanner(rspamd: Daemon, **settings: object) -> Rspamd:
    return Rspamd(RspamdSettings(**{**rspamd.settings, **settings}), HOSTNAME)  # type: ignore[arg-type]


async def found(rspamd: Daemon, letter: Message, **settings: object) -> Finding:
    async with scanner(rspamd, **settings) as one:
        return await one.scan(letter)


def wishing(body: str = "hello", **fields: str) -> Message:
    """A letter that says what rspamd is to think of it: ``score``, ``action``, ``text``, ``milter``, ``seen``."""
    lines = [f"X-Test-{name.capitalize()}: {value}\r\n" for name, value in fields.items()]
    text = f"From: a@sender.test\r\nSubject: hello\r\nX-Spam: from outside\r\n{''.join(lines)}\r\n{body}\r\n"
    return message("b@example.org", content=text.encode())


def milter(**wishes: object) -> Message:
    return wishing(milter=json.dumps(wishes))


async def test_gtube_is_refused(rspamd: Daemon) -> None:
    finding = await found(rspamd, wishing(GTUBE))
    assert (finding.action, finding.code, finding.text) == ("reject", "5.7.1", "Gtube pattern")
    assert finding.symbols == {"GTUBE": 0}
    assert finding.facts == {"action": "reject", "required": 15}


@pytest.mark.parametrize(
    ("score", "percent", "action", "said"),
    [
        ("1.5", 10, "none", "no action"),
        ("-3.5", 0, "none", "no action"),
        ("4.5", 30, "none", "greylist"),
        ("6", 40, "none", "add header"),
        ("12", 80, "none", "rewrite subject"),
        ("16", 100, "reject", "reject"),
    ],
)
async def test_what_a_score_leads_to(rspamd: Daemon, score: str, percent: float, action: str, said: str) -> None:
    finding = await found(rspamd, wishing(score=score))
    assert (finding.action, finding.facts["action"], finding.score) == (action, said, float(score))
    assert finding.symbols["TEST_SCORE"] == float(score)
    assert finding.percent == percent


@pytest.mark.parametrize(
    ("wish", "action", "code"),
    [
        ("soft reject", "defer", "4.7.1"),
        ("discard", "discard", ""),
        ("quarantine", "quarantine", ""),
        ("no action", "none", ""),
    ],
)
async def test_an_action_of_its_own(rspamd: Daemon, wish: str, action: str, code: str) -> None:
    finding = await found(rspamd, wishing(action=wish, text="So it is"))
    assert (finding.action, finding.facts["action"]) == (action, wish)
    assert finding.code == code
    assert finding.text == "So it is"


async def test_spam_is_marked(rspamd: Daemon) -> None:
    letter = wishing(score="7")
    edited = (await found(rspamd, letter)).edits.applied(letter)
    assert edited.headers("X-Spam") == ["Yes"]
    assert edited.header("Subject") == "hello"


async def test_a_subject_is_written_anew(rspamd: Daemon) -> None:
    letter = wishing(score="11")
    edited = (await found(rspamd, letter)).edits.applied(letter)
    assert edited.headers("Subject") == ["[SPAM] hello"]
    assert edited.headers("X-Spam") == ["from outside"]


async def test_a_subject_beyond_ascii_is_written_anew(rspamd: Daemon) -> None:
    letter = message(content=b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Test-Score: 11\r\n\r\n")
    edited = (await found(rspamd, letter)).edits.applied(letter)
    assert edited.headers("Subject") == ["[SPAM] Grüße"]
    assert edited.header_octets().isascii()


async def test_fields_are_added_and_removed(rspamd: Daemon) -> None:
    finding = await found(
        rspamd,
        milter(
            remove_headers={"X-Spam": 0, "X-Other": -1},
            add_headers={"X-One": "1", "X-Two": {"value": "2\n\tfolded", "order": 0}, "X-Many": ["a", {"value": "b"}]},
        ),
    )
    assert finding.edits.remove == {"X-Spam": ALL, "X-Other": -1}
    assert sorted(finding.edits.add) == [("X-Many", "a"), ("X-Many", "b"), ("X-One", "1"), ("X-Two", "2\n\tfolded")]


@pytest.mark.parametrize("instead", ["discard", "quarantine"])
async def test_a_refusal_can_be_something_else(rspamd: Daemon, instead: str) -> None:
    letter = wishing(score="16", milter=json.dumps({"reject": instead}))
    finding = await found(rspamd, letter)
    assert (finding.action, finding.facts["action"]) == (instead, "reject")


async def test_an_action_that_is_only_told(rspamd: Daemon) -> None:
    letter = wishing(score="16", milter=json.dumps({"no_action": True}))
    finding = await found(rspamd, letter)
    assert (finding.action, finding.facts["action"]) == ("none", "reject")


@pytest.mark.parametrize(
    ("mark", "fields"),
    [("Maybe", {"X-Spam": "Maybe"}), ({"X-Junk": "1", "X-Spam": "2"}, {"X-Junk": "1", "X-Spam": "2"})],
)
async def test_the_mark_of_spam_can_be_another(
    rspamd: Daemon, mark: str | dict[str, str], fields: dict[str, str]
) -> None:
    letter = wishing(score="7", milter=json.dumps({"spam_header": mark}))
    edited = (await found(rspamd, letter)).edits.applied(letter)
    assert {name: edited.headers(name) for name in fields} == {name: [value] for name, value in fields.items()}


async def test_the_sender_can_be_replaced(rspamd: Daemon) -> None:
    assert (await found(rspamd, milter(change_from="<other@sender.test>"))).edits.sender == "other@sender.test"
    assert (await found(rspamd, milter(change_from=""))).edits.sender == ""


@pytest.mark.parametrize("wishes", [{"change_from": "a@b.test> SIZE=1"}, {"add_headers": {"X Y": "1"}}])
async def test_a_wish_that_nobody_can_fulfil(rspamd: Daemon, wishes: dict[str, object]) -> None:
    with pytest.raises(Unreachable, match="nonsense"):
        await found(rspamd, milter(**wishes))


async def seen(rspamd: Daemon, letter: Message) -> dict[str, str]:
    """What rspamd knows of the session."""
    finding = await found(rspamd, letter)
    told: dict[str, str] = json.loads(dict(finding.edits.add)["X-Seen"])
    return told


async def test_it_is_told_who_sends(rspamd: Daemon) -> None:
    letter = wishing(seen="yes").with_fact("iprev.name", "client.example.net")
    session = Session(peer="2001:db8::7", helo="client", tls="TLSv1.3 TLS_AES_256_GCM_SHA384", login="ann@example.org")
    recipients = (Recipient("b@example.org"), Recipient("c@example.org"))
    letter = replace(letter, envelope=replace(letter.envelope, session=session, recipients=recipients))
    assert await seen(rspamd, letter) == {
        "ip": "2001:db8::7",
        "helo": "client",
        "user": "ann@example.org",
        "from": "a@sender.test",
        "recipients": "b@example.org c@example.org",
        "hostname": "client.example.net",
        "queue_id": str(letter.id),
        "tls": "TLSv1.3",
        "mta": HOSTNAME,
        "size": str(letter.size),
    }


async def test_it_is_told_no_more_than_is_known(rspamd: Daemon) -> None:
    letter = wishing(seen="yes").with_sender("")
    told = await seen(rspamd, letter)
    assert (told["ip"], told["helo"], told["user"], told["from"], told["tls"]) == ("", "", "", "", "")


async def test_it_is_told_as_many_recipients_as_it_takes(rspamd: Daemon) -> None:
    letter = wishing(seen="yes")
    recipients = tuple(Recipient(f"some.long.name.{number}@department.example.org") for number in range(5000))
    letter = replace(letter, envelope=replace(letter.envelope, recipients=recipients))
    told = (await seen(rspamd, letter))["recipients"].split()
    assert 500 < len(told) < 5000
    assert told[0] == recipients[0].address


async def test_what_a_client_says_adds_no_field(rspamd: Daemon) -> None:
    letter = wishing(seen="yes")
    letter = replace(letter, envelope=replace(letter.envelope, session=Session(helo="a\r\nUser: root")))
    assert (await seen(rspamd, letter))["user"] == ""


async def test_a_large_message(rspamd: Daemon) -> None:
    letter = wishing("x" * 70 + ("\r\n" + "y" * 70) * 50_000, seen="yes").with_header("X-Test-Score", "7")
    finding = await found(rspamd, letter)
    assert finding.score == 7
    assert json.loads(dict(finding.edits.add)["X-Seen"])["size"] == str(letter.size)


async def test_a_message_without_anything(rspamd: Daemon) -> None:
    assert (await found(rspamd, message(content=b""))).action == "none"
    assert (await found(rspamd, message(content=b"\r\n"))).action == "none"


async def test_by_a_unix_socket(rspamd: Daemon) -> None:
    for url in (f"unix:{rspamd.socket}", f"unix://{rspamd.socket}"):
        assert (await found(rspamd, wishing(GTUBE), url=url)).action == "reject"


async def test_many_at_once(rspamd: Daemon) -> None:
    async with scanner(rspamd) as one:
        scores: dict[int, float | None] = {}

        async def ask(number: int) -> None:
            scores[number] = (await one.scan(wishing(score=str(number)))).score

        async with trio.open_nursery() as nursery:
            for number in range(14):
                nursery.start_soon(ask, number)
        assert scores == {number: number for number in range(14)}


async def test_the_controller_wants_a_password(rspamd: Daemon, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{rspamd.controller}"
    with pytest.raises(Unreachable, match="status 401"):
        await found(rspamd, wishing(GTUBE), url=url)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    async with scanner(rspamd, url=url, password_file=tmp_path / "password") as one:
        assert (await one.scan(wishing(GTUBE))).action == "reject"
        assert (await one.scan(wishing(score="2"))).action == "none"


async def test_an_answer_that_is_none(rspamd: Daemon) -> None:
    with pytest.raises(Unreachable, match=r"status 500: .*invalid command"):
        await found(rspamd, wishing(), url=f"{rspamd.settings['url']}/elsewhere")


async def test_one_that_is_gone(rspamd: Daemon) -> None:
    async with scanner(rspamd) as one:
        rspamd.kill()
        with pytest.raises(Unreachable, match="refused"):
            await one.scan(wishing())
        await trio.to_thread.run_sync(rspamd.start)
        assert (await one.scan(wishing(GTUBE))).action == "reject"


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:11333", "ftp://127.0.0.1", "http://", "http://host:port", "http://a b", "http://a?b", "unix:here"],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(ValueError, match="write it like"):
        RspamdSettings(url=url)
