"""The stage milter against the real libmilter: what a milter is told, and what becomes of each of its answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from engine import Defer, Discard, Each, Message, Recipient, Reject, Route, Session, Verdict
from engine.message import PARK, RELEASED
from engine.net.names import Hostname
from engine.scanning import Unreachable
from engine.verdict import Changed
from stages.milter import Milter
from tests.support.messages import message
from tests.support.milters import Running, scripted
from tests.support.programs import marks
from tests.support.server import until

pytestmark = marks("cc", header="libmilter/mfapi.h")

B, C = "b@rcpt.test", "c@rcpt.test"
OURS = b"Authentication-Results: mx.example.org; none\r\nReceived: from x\r\n\tby mx.example.org; today\r\n"
CONTENT = (
    b"Received: from elsewhere; yesterday\r\nFrom: a@sender.test\r\nX-Spam: 1\r\nSubject:  two\r\n lines\r\n"
    b"X-Spam: 2\r\nMessage-ID: <m@sender.test>\r\n\r\nhello\r\n"
)
SILENT = "negotiate df080"


def letter(*to: str, content: bytes = CONTENT, peer: str = "192.0.2.1", **session: Any) -> Message:
    given = message(*(to or (B,)), content=content)
    facts = {"helo": "client.test", **session}
    return replace(given, envelope=replace(given.envelope, prepended=OURS, session=Session(peer=peer, **facts)))


@asynccontextmanager
async def asked(folder: Path, script: str = "", **settings: Any) -> AsyncIterator[tuple[Milter, Running]]:
    with scripted(folder, script) as milter:
        async with Milter(Hostname("mx.example.org"), connect=milter.connect, **settings) as stage:
            yield stage, milter


async def verdict(folder: Path, script: str, about: Message | None = None) -> Verdict | Changed:
    async with asked(folder, script) as (stage, _):
        return await stage(about or letter())


async def changed(folder: Path, *script: str, about: Message | None = None) -> Message:
    said = await verdict(folder, "\n".join(script), about)
    assert isinstance(said, Message)
    return said


def whole(about: Message) -> bytes:
    return b"".join(about.chunks())


def told(milter: Running, step: str) -> list[str]:
    return [line.partition(" ")[2] for line in milter.said() if line.partition(" ")[0] == step]


def all_steps(milter: Running) -> list[str]:
    """What a milter was told, macros left out, up to the end of the connection."""
    until(lambda: "close" in milter.said(), "the end of the connection")
    return [line for line in milter.said() if not line.startswith("macro")]


@pytest.mark.parametrize("script", ["", SILENT, "negotiate 1df080"])
async def test_what_it_is_told(tmp_path: Path, script: str) -> None:
    about = letter(B, C, login="ann@example.org", tls="TLSv1.3 TLS_AES_256_GCM_SHA384")
    about = about.with_fact("iprev.name", "client.test")
    envelope = replace(about.envelope, recipients=(Recipient(B, notify="NEVER"), Recipient(C)), body="8BITMIME")
    about = replace(about, envelope=envelope)
    with scripted(tmp_path, script) as milter:
        async with Milter(Hostname("mx.example.org"), connect=milter.connect, daemon_name="ORIGINATING") as stage:
            assert await stage(about) is about
        steps = all_steps(milter)
    assert steps == [
        "negotiate",
        "connect client.test 192.0.2.1",
        "helo client.test",
        "from <a@sender.test>",
        "parameter BODY=8BITMIME",
        f"rcpt <{B}>",
        "parameter NOTIFY=NEVER",
        f"rcpt <{C}>",
        "data",
        *(
            f"header {name} {value}"
            for name, value in [
                ("Authentication-Results", " mx.example.org; none"),
                ("Received", " from elsewhere; yesterday"),
                ("From", " a@sender.test"),
                ("X-Spam", " 1"),
                ("Subject", "  two| lines"),
                ("X-Spam", " 2"),
                ("Message-ID", " <m@sender.test>"),
            ]
            for value in [value if script == "negotiate 1df080" else value.lstrip()]
        ),
        "eoh",
        "body 7",
        "eom",
        "close",
    ]
    macros = {line.split(" ", 3)[2]: line.split(" ", 3)[3] for line in milter.said() if line.startswith("macro eom")}
    assert macros == {
        "j": "mx.example.org",
        "{daemon_name}": "ORIGINATING",
        "v": "Postroad",
        "_": "client.test [192.0.2.1]",
        "{client_name}": "client.test",
        "{client_ptr}": "client.test",
        "{client_addr}": "192.0.2.1",
        "{tls_version}": "TLSv1.3",
        "{cipher}": "TLS_AES_256_GCM_SHA384",
        "{cipher_bits}": "256",
        "i": str(about.id),
        "{auth_type}": "SASL",
        "{auth_authen}": "ann@example.org",
        "{mail_addr}": "a@sender.test",
        "{mail_host}": "sender.test",
        "{mail_mailer}": "smtp",
        "{rcpt_addr}": C,
        "{rcpt_host}": "rcpt.test",
        "{rcpt_mailer}": "smtp",
        "{msg_id}": "<m@sender.test>",
    }


async def test_steps_that_it_does_not_want(tmp_path: Path) -> None:
    with scripted(tmp_path, "negotiate 27f") as milter:
        async with Milter(Hostname("mx.example.org"), connect=milter.connect) as stage:
            assert isinstance(await stage(letter()), Message)
        steps = all_steps(milter)
    assert steps == ["negotiate", "eom", "close"]


async def test_it_may_choose_its_macros(tmp_path: Path) -> None:
    async with asked(tmp_path, "symbols 0 {client_addr}\nsymbols 5 {msg_id}") as (stage, milter):
        await stage(letter())
    assert [line for line in milter.said() if line.startswith("macro connect")] == [
        "macro connect {client_addr} 192.0.2.1"
    ]


async def test_mail_of_our_own_comes_from_this_machine(tmp_path: Path) -> None:
    async with asked(tmp_path) as (stage, milter):
        await stage(replace(letter(), envelope=replace(letter().envelope, session=Session(), sender="")))
    assert told(milter, "connect") == ["localhost 127.0.0.1"]
    assert told(milter, "helo") == ["mx.example.org"]
    assert told(milter, "from") == ["<>"]


async def test_a_large_body_in_chunks_until_it_has_had_enough(tmp_path: Path) -> None:
    large = letter(content=b"Subject: large\r\n\r\n" + b"x" * 200_000)
    async with asked(tmp_path) as (stage, milter):
        await stage(large)
    assert told(milter, "body") == ["65535", "65535", "65535", "3395"]


async def test_a_large_body_may_be_skipped(tmp_path: Path) -> None:
    large = letter(content=b"Subject: large\r\n\r\n" + b"x" * 200_000)
    async with asked(tmp_path, "negotiate 400\nbody skip") as (stage, milter):
        assert await stage(large) is large
    assert told(milter, "body") == ["65535"]
    assert told(milter, "eom") == [""]


EARLY = ["connect", "helo", "from <a@sender.test>", "data", "header Subject", "eoh", "body"]


@pytest.mark.parametrize("step", [*EARLY, "eom"])
async def test_every_step_may_decide(tmp_path: Path, step: str) -> None:
    async with asked(tmp_path, f"{step} reply 554 5.7.1 No at {step}, 100%%") as (stage, _):
        for _ in range(2):
            said = await stage(letter())
            assert isinstance(said, Reject)
            assert (said.text, said.code) == (f"No at {step}, 100%", "5.7.1")
            assert "scripted.sock" in said.log


WORDLESS = [("accept", Message), ("reject", Reject), ("tempfail", Defer), ("discard", Discard)]


@pytest.mark.parametrize(
    ("step", "answer", "kind"),
    [
        (step, answer, kind)
        for step in (*EARLY, "eom")
        for answer, kind in WORDLESS
        if answer != "discard" or step not in ("connect", "helo")  # there is no message yet
    ],
)
async def test_every_step_may_decide_without_words(tmp_path: Path, step: str, answer: str, kind: type) -> None:
    async with asked(tmp_path, f"{step} {answer}") as (stage, _):
        for _ in range(2):
            assert isinstance(await stage(letter()), kind)


@pytest.mark.parametrize(
    ("answered", "step"),
    [(0x1000, "connect"), (0x2000, "helo"), (0x4000, "from <a@sender.test>"), (0x10000, "data"), (0x40000, "eoh")],
)
async def test_a_step_may_decide_although_all_others_are_silent(tmp_path: Path, answered: int, step: str) -> None:
    async with asked(tmp_path, f"negotiate {0xDF080 & ~answered:x}\n{step} reject") as (stage, _):
        for _ in range(3):
            assert isinstance(await stage(letter()), Reject)


async def test_a_temporary_reply(tmp_path: Path) -> None:
    said = await verdict(tmp_path, "eom reply 451 4.7.1 Come again")
    assert isinstance(said, Defer)
    assert (said.text, said.code) == ("Come again", "4.7.1")


async def test_one_recipient_is_refused(tmp_path: Path) -> None:
    said = await verdict(tmp_path, f"rcpt <{B}> reply 550 5.1.1 Who?\naddheader X-New yes", letter(B, C))
    assert isinstance(said, Changed)
    assert isinstance(said.verdict, Each)
    assert list(said.verdict.verdicts) == [B]
    refused = said.verdict.verdicts[B]
    assert isinstance(refused, Reject)
    assert (refused.text, refused.code) == ("Who?", "5.1.1")
    assert said.message.header("X-New") == "yes"


@pytest.mark.parametrize("script", ["", SILENT.replace("df080", "d7080")])
async def test_one_recipient_is_refused_and_the_message_vanishes_for_the_other(tmp_path: Path, script: str) -> None:
    said = await verdict(tmp_path, f"{script}\nrcpt <{B}> reply 550 5.1.1 Who?\neom discard", letter(B, C))
    assert isinstance(said, Each)
    assert {to: type(one) for to, one in said.verdicts.items()} == {B: Reject, C: Discard}


@pytest.mark.parametrize("script", ["", SILENT.replace("df080", "d7080")])
async def test_all_recipients_are_refused(tmp_path: Path, script: str) -> None:
    said = await verdict(tmp_path, f"{script}\nrcpt <{B}> reject\nrcpt <{C}> tempfail", letter(B, C))
    assert isinstance(said, Each)
    assert {to: type(one) for to, one in said.verdicts.items()} == {B: Reject, C: Defer}


async def test_a_new_field_goes_above_what_the_message_came_with(tmp_path: Path) -> None:
    said = await changed(tmp_path, "addheader X-New one| two", "addheader X-New three")
    assert whole(said) == OURS + b"X-New: one\r\n two\r\nX-New: three\r\n" + CONTENT


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_field_is_inserted_where_it_is_to_be(tmp_path: Path, place: int) -> None:
    said = await changed(tmp_path, f"insheader {place} X-New yes")
    lines = OURS.replace(b"\r\n\t", b"~").splitlines(keepends=True)
    lines.insert(place, b"X-New: yes\r\n")
    assert whole(said) == b"".join(lines).replace(b"~", b"\r\n\t") + CONTENT
    assert said.content.size == len(CONTENT), "the content is what it was"


async def test_no_value_can_begin_another_field(tmp_path: Path) -> None:
    said = await changed(tmp_path, "addheader X-New one|Subject: forged||  |end")
    assert whole(said) == OURS + b"X-New: one\r\n\tSubject: forged\r\n\tend\r\n" + CONTENT


async def test_no_line_of_a_value_is_too_long(tmp_path: Path) -> None:
    said = await changed(tmp_path, f"addheader X-New {'x' * 2000}")
    assert max(map(len, whole(said).split(b"\r\n"))) <= 998
    assert (said.header("X-New") or "").replace("\t", "") == "x" * 2000


async def test_the_blank_behind_the_colon_is_the_milters_where_it_wants_that(tmp_path: Path) -> None:
    said = await changed(tmp_path, "negotiate 100000", "addheader X-New yes", "addheader X-New  no")
    assert whole(said).startswith(OURS + b"X-New:yes\r\nX-New: no\r\n")


async def test_fields_are_deleted_by_the_numbers_that_it_has_seen(tmp_path: Path) -> None:
    script = ["chgheader 1 X-Spam", "chgheader 2 x-spam", "chgheader 1 Authentication-Results", "chgheader 3 X-Spam"]
    said = await changed(tmp_path, *script)
    kept = CONTENT.replace(b"X-Spam: 1\r\n", b"").replace(b"X-Spam: 2\r\n", b"")
    assert whole(said) == OURS.partition(b"\r\n")[2] + kept
    assert said.content.size == len(CONTENT), "the content is what it was"


async def test_our_own_received_is_not_its_to_change(tmp_path: Path) -> None:
    said = await changed(tmp_path, "chgheader 1 Received")
    assert whole(said) == OURS + CONTENT.partition(b"\r\n")[2]


async def test_a_field_that_is_not_there_is_added(tmp_path: Path) -> None:
    said = await changed(tmp_path, "chgheader 3 X-Spam 3", "chgheader 1 X-None")
    assert whole(said) == OURS + b"X-Spam: 3\r\n" + CONTENT


async def test_a_field_is_changed_in_its_place(tmp_path: Path) -> None:
    said = await changed(tmp_path, "chgheader 2 X-Spam no| more", "insheader 4 X-New yes")
    lines = [b"From: a@sender.test\r\n", b"X-Spam: 2\r\n"]
    expected = CONTENT.replace(lines[0], lines[0] + b"X-New: yes\r\n").replace(lines[1], b"X-Spam: no\r\n more\r\n")
    assert whole(said) == OURS + expected


async def test_the_first_of_the_content_is_changed_in_its_place(tmp_path: Path) -> None:
    said = await changed(tmp_path, "chgheader 1 Received changed")
    assert whole(said) == OURS + b"Received: changed\r\n" + CONTENT.partition(b"\r\n")[2]


async def test_another_body(tmp_path: Path) -> None:
    said = await changed(tmp_path, "replbody one|two|", "addheader X-New yes")
    head = CONTENT.partition(b"\r\n\r\n")[0]
    assert whole(said) == OURS + b"X-New: yes\r\n" + head + b"\r\n\r\none\r\ntwo\r\n"


async def test_changes_of_changes_left_out_before(tmp_path: Path) -> None:
    about = letter().without_fields("X-Spam", lambda value: value == "1")
    async with asked(tmp_path, "chgheader 1 X-Spam\naddheader X-New yes") as (stage, milter):
        said = await stage(about)
        assert isinstance(said, Message)
    assert told(milter, "header").count("X-Spam 2") == 1
    assert "X-Spam 1" not in told(milter, "header")
    assert b"X-Spam" not in whole(said)
    assert whole(said).startswith(OURS + b"X-New: yes\r\n")


async def test_another_sender(tmp_path: Path) -> None:
    assert (await changed(tmp_path, "chgfrom <new@sender.test>")).sender == "new@sender.test"


async def test_no_sender(tmp_path: Path) -> None:
    assert (await changed(tmp_path, "chgfrom <>")).sender == ""


async def test_more_and_fewer_recipients(tmp_path: Path) -> None:
    script = (
        f"delrcpt <{B}>\naddrcpt more@rcpt.test\naddrcpt_par <par@rcpt.test> NOTIFY=NEVER\naddrcpt <{C}>\naddheader X y"
    )
    said = await verdict(tmp_path, script, letter(B, C))
    assert isinstance(said, Changed)
    assert said.message.header("X") == "y"
    assert isinstance(said.verdict, Each)
    assert isinstance(said.verdict.verdicts[B], Discard)
    assert said.verdict.verdicts[C] == Route("", (C, "more@rcpt.test", "par@rcpt.test"))


async def test_another_recipient_in_place_of_the_only_one(tmp_path: Path) -> None:
    said = await verdict(tmp_path, f"delrcpt <{B.upper()}>\naddrcpt <more@rcpt.test>")
    assert isinstance(said, Changed)
    assert said.verdict == Each({B: Route("", ("more@rcpt.test",))})


async def test_no_recipient_is_left(tmp_path: Path) -> None:
    said = await verdict(tmp_path, f"delrcpt <{B}>")
    assert isinstance(said, Changed)
    assert isinstance(said.verdict, Each)
    assert isinstance(said.verdict.verdicts[B], Discard)


@pytest.mark.parametrize("line", ["addrcpt <a b@rcpt.test>", "chgfrom <x>", "addrcpt <>", "addrcpt <a@b>|x"])
async def test_an_address_that_is_none(tmp_path: Path, line: str) -> None:
    with pytest.raises(Unreachable, match="asks for the address"):
        await verdict(tmp_path, line)


async def test_it_parks_the_message_with_its_changes(tmp_path: Path) -> None:
    said = await changed(tmp_path, "quarantine looks odd", "addheader X-New yes")
    assert str(said.fact(PARK)).endswith("scripted.sock: looks odd")
    assert said.header("X-New") == "yes"
    released = letter().with_fact(RELEASED, [said.fact(PARK)])
    again = await changed(tmp_path, "quarantine looks odd, score 7.3", about=released)
    assert again.fact(PARK) is None


async def test_progress_is_no_answer(tmp_path: Path) -> None:
    assert isinstance(await verdict(tmp_path, "progress\neom reject"), Reject)


# -- connections


@pytest.mark.parametrize("script", ["", SILENT])
async def test_a_connection_is_kept_for_the_next_client(tmp_path: Path, script: str) -> None:
    async with asked(tmp_path, script) as (stage, milter):
        await stage(letter(tls="TLSv1.3 TLS_AES_256_GCM_SHA384", login="ann@example.org"))
        await stage(letter(tls="TLSv1.3 TLS_AES_256_GCM_SHA384", login="ann@example.org"))
        before = len(milter.said())
        await stage(letter(peer="192.0.2.2"))
        after = milter.said()[before:]
    assert len(told(milter, "negotiate")) == 1
    assert told(milter, "connect") == ["unknown 192.0.2.1", "unknown 192.0.2.2"]
    assert len(told(milter, "eom")) == 3
    assert not [line for line in after if "tls_version" in line or "auth" in line], "the first client's"


async def test_a_new_connection_for_another_client_where_it_has_accepted(tmp_path: Path) -> None:
    async with asked(tmp_path, "eom accept") as (stage, milter):
        for peer in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"):
            await stage(letter(peer=peer))
    assert len(told(milter, "negotiate")) == 2
    assert told(milter, "connect") == ["unknown 192.0.2.1", "unknown 192.0.2.2"]
    assert len(told(milter, "eom")) == 4


async def test_one_connection_for_each_message_if_need_be(tmp_path: Path) -> None:
    async with asked(tmp_path, messages_per_connection=1) as (stage, milter):
        for _ in range(3):
            await stage(letter())
    assert len(told(milter, "negotiate")) == 3


async def test_a_milter_that_was_restarted_is_asked_at_once(tmp_path: Path) -> None:
    async with asked(tmp_path) as (stage, milter):
        await stage(letter())
        milter.end()
        milter.start()
        assert isinstance(await stage(letter()), Message)


async def test_a_milter_that_is_not_there(tmp_path: Path) -> None:
    async with asked(tmp_path) as (stage, milter):
        milter.end()
        with pytest.raises(Unreachable, match=r"scripted\.sock: Connection refused"):
            await stage(letter())


async def test_a_milter_that_takes_too_long(tmp_path: Path) -> None:
    async with asked(tmp_path, "sleep 30", time_limit=0.5) as (stage, _):
        with pytest.raises(Unreachable, match=r"no answer within 0\.5 s"):
            await stage(letter())


@pytest.mark.parametrize(
    ("connect", "good"),
    [
        ("unix:/run/x.sock", True), ("local:/run/x.sock", True), ("/run/x.sock", True), ("localhost:8891", True),
        ("inet:localhost:8891", True), ("inet:8891@localhost", True), ("inet6:8891@::1", True), ("[::1]:8891", True),
        ("localhost", False), ("", False), ("unix:", False), ("x.sock", False),
    ],
)  # fmt: skip
def test_where_a_milter_may_be(connect: str, good: bool) -> None:
    assert bool(list(Milter.check(connect=connect))) is not good


def test_numbers_that_make_no_sense() -> None:
    assert len(list(Milter.check(connect="/x", at_once=0, messages_per_connection=0))) == 2
