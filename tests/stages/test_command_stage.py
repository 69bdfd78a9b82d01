"""The stage command: what each thing that a program may say or do leads to."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine import (
    Defer,
    Discard,
    Duration,
    Envelope,
    Message,
    MessageId,
    Quarantine,
    Recipient,
    Reject,
    Session,
    Verdict,
)
from engine.message import Octets
from engine.scanning import Unreachable
from stages.command import Command
from tests.support.messages import LETTER, message
from tests.support.programs import needs
from tests.support.snippets import python
from tests.support.spamassassin import GTUBE, spamd


@asynccontextmanager
async def stage(code: str, **settings: Any) -> AsyncIterator[Command]:
    async with Command(command=python(code), name="judge", **settings) as made:
        yield made


async def verdict(code: str, letter: Message | None = None, **settings: Any) -> Verdict:
    async with stage(code, **settings) as made:
        return await made(letter or message())


def says(line: str) -> str:
    return f"print({line!r})"


# -- by exit code


@pytest.mark.parametrize(
    ("code", "kind"),
    [(0, Message), (65, Reject), (67, Reject), (69, Reject), (77, Reject), (75, Defer), (1, Message), (2, Quarantine),
     (3, Discard)],
)  # fmt: skip
async def test_an_exit_code_says_what_becomes_of_a_message(code: int, kind: type) -> None:
    found = await verdict(f"sys.exit({code})", codes={"1": "spam", "2": "quarantine", "3": "discard"})
    assert isinstance(found, kind)
    if isinstance(found, Message):
        assert found.fact("scan.judge.exit") == code
        assert found.fact("scan.judge.spam") == (True if code else None)
        assert found.header("X-Spam-Flag") == ("YES" if code else None)


@pytest.mark.parametrize("code", ["sys.exit(1)", "sys.exit(70)", "os.kill(os.getpid(), 9)"])
async def test_other_exit_codes_say_that_it_failed(code: str) -> None:
    with pytest.raises(Unreachable, match="judge: failed: exit"):
        await verdict(code)


async def test_the_first_line_that_it_writes_is_a_fact_and_may_begin_with_a_score() -> None:
    found = await verdict("print('7.5/5.0'); print('more')")
    assert isinstance(found, Message)
    assert (found.fact("scan.judge.output"), found.fact("scan.judge.score")) == ("7.5/5.0", 7.5)
    assert found.fact("scan.score") == 7.5
    found = await verdict("print('1')", found)
    assert isinstance(found, Message)
    assert (found.fact("scan.judge.score"), found.fact("scan.score")) == (1.0, 7.5)


async def test_the_sender_hears_the_text_of_the_settings_and_not_what_the_program_says() -> None:
    found = await verdict("print('secret'); sys.exit(69)", text="Not here")
    assert isinstance(found, Reject)
    assert (found.text, found.code) == ("Not here", "5.7.1")
    assert "secret" in found.log


# -- by JSON


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"verdict": "reject", "text": "No", "code": "5.7.9"}', ("No", "5.7.9")),
        ('{"verdict": "reject", "text": "No", "code": "4.7.9"}', ("No", "5.7.1")),
        ('{"verdict": "defer", "text": "Later", "code": "4.7.0"}', ("Later", "4.7.0")),
        ('{"verdict": "defer"}', ("A filter asks you to send this message later", "4.7.1")),
    ],
)
async def test_a_refusal_by_json(line: str, expected: tuple[str, str]) -> None:
    found = await verdict(says(line), output="json")
    assert isinstance(found, Reject | Defer)
    assert (found.text, found.code) == expected


async def test_what_it_found_goes_on_with_the_message() -> None:
    line = '{"facts": {"score": 3.5, "rules": ["A", "B"]}, "headers": [["X-Spam", "Yes"], ["X-Spam-Score", "3.5"]]}'
    found = await verdict(says(line), output="json")
    assert isinstance(found, Message)
    assert (found.fact("scan.judge.score"), found.fact("scan.judge.rules")) == (3.5, ["A", "B"])
    assert found.header_octets().startswith(b"X-Spam: Yes\r\nX-Spam-Score: 3.5\r\n")


async def test_quarantine_and_discard_by_json() -> None:
    assert await verdict(says('{"verdict": "quarantine", "text": "macros"}'), output="json") == Quarantine("macros")
    assert await verdict(says('{"verdict": "discard"}'), output="json") == Discard("judge")


@pytest.mark.parametrize(
    "line", ["", "{", '"pass"', '{"verdict": "maybe"}', '{"headers": [["Bad name", "x"]]}', '{"verdict": "error"}',
             '{"headers": [["X", "a\\nb"]]}'],
)  # fmt: skip
async def test_what_is_no_answer(line: str) -> None:
    with pytest.raises(Unreachable):
        await verdict(says(line), output="json")


async def test_beside_json_the_exit_code_counts() -> None:
    assert isinstance(await verdict("print('{}'); sys.exit(75)", output="json"), Defer)


# -- a message for a message


async def test_what_it_writes_is_the_message() -> None:
    code = "sys.stdout.write(sys.stdin.read().replace('hello', 'goodbye'))"
    found = await verdict(code, output="message", newlines="lf")
    assert isinstance(found, Message)
    assert b"".join(found.chunks()) == LETTER.replace(b"hello", b"goodbye")


@pytest.mark.parametrize("code", ["", "print('no message')", "sys.stdout.write('A: b\\n\\n' + 'x' * 5_000_000)"])
async def test_what_is_no_message_does_not_go_on(code: str) -> None:
    with pytest.raises(Unreachable, match="wrote"):
        await verdict(code, output="message")


async def test_of_a_message_that_is_refused_nothing_is_read() -> None:
    assert isinstance(await verdict("sys.exit(69)", output="message"), Reject)


# -- what it is given


def letter(sender: str, *recipients: str) -> Message:
    session = Session(peer="192.0.2.7", helo="-x;$(id)", login="-ann@example.org", tls="TLSv1.3 X")
    return Message(MessageId.new(), Envelope(sender, tuple(map(Recipient, recipients)), session), Octets(LETTER))


async def test_the_message_and_its_envelope() -> None:
    code = """
given = {name[9:]: value for name, value in os.environ.items() if name.startswith("POSTROAD_")}
given["content"] = sys.stdin.buffer.read().decode()
answer(facts={"given": given, "all": sorted(os.environ)})
"""
    given = letter("ann@example.net", "bob@example.org", "eve@example.org")
    found = await verdict(code, given, output="json")
    assert isinstance(found, Message)
    assert found.fact("scan.judge.given") == {
        "ID": str(given.id), "SIZE": str(len(LETTER)), "SENDER": "ann@example.net", "PEER": "192.0.2.7",
        "RECIPIENTS": "bob@example.org\neve@example.org", "RECIPIENT_COUNT": "2", "HELO": "-x;$(id)",
        "LOGIN": "-ann@example.org", "PROTOCOL": "ESMTP", "TLS": "TLSv1.3 X", "content": LETTER.decode(),
    }  # fmt: skip
    names = found.fact("scan.judge.all")
    assert isinstance(names, list)
    assert {name for name in names if not str(name).startswith("POSTROAD_")} <= {"PATH", "LANG", "LC_CTYPE"}


async def test_placeholders_give_arguments_that_no_program_takes_for_options() -> None:
    code = "answer(facts={'given': sys.argv[1:]})"
    command = (*python(code), "{id}", "--from={sender}", "{sender}", "-u{login}", "{login}", "{recipients}", "{}")
    given = letter("-o@example.net", "b c;$(id)@example.org", "-", "--x@example.org")
    found = await Command(command=command, name="judge", output="json")(given)
    assert isinstance(found, Message)
    assert found.fact("scan.judge.given") == [
        str(given.id), "--from=-o@example.net", '"-o"@example.net', "-u-ann@example.org", '"-ann"@example.org',
        "b c;$(id)@example.org", '"-"', '"--x"@example.org', "{}",
    ]  # fmt: skip


async def test_more_recipients_than_the_environment_holds() -> None:
    code = "answer(facts={'given': os.environ['POSTROAD_RECIPIENTS'], 'count': os.environ['POSTROAD_RECIPIENT_COUNT']})"
    everybody = [f"{number:0200}@example.org" for number in range(1000)]
    found = await verdict(code, letter("", *everybody), output="json")
    assert isinstance(found, Message)
    given = found.fact("scan.judge.given")
    assert isinstance(given, str)
    assert found.fact("scan.judge.count") == "1000"
    assert 400 < given.count("\n") < 500
    assert set(given.split("\n")) < set(everybody)


async def test_a_large_message_is_read_in_pieces() -> None:
    class Large:
        size = 50_000_000

        def chunks(self) -> Iterator[bytes]:
            yield from (b"line\r\n" + b"x" * 999_994 for _ in range(50))

    found = await verdict(
        "answer(facts={'read': len(sys.stdin.buffer.read())})", message(content=Large()), output="json"
    )
    assert isinstance(found, Message)
    assert found.fact("scan.judge.read") == 50_000_000


async def test_lines_that_end_in_lf_wherever_the_pieces_are_cut() -> None:
    class Cut:
        size = 6

        def chunks(self) -> Iterator[bytes]:
            yield from (b"a\r", b"\n", b"\r", b"\r", b"\nb\r")

    code = "answer(facts={'read': repr(sys.stdin.buffer.read())})"
    found = await verdict(code, message(content=Cut()), output="json", newlines="lf")
    assert isinstance(found, Message)
    assert found.fact("scan.judge.read") == repr(b"a\n\r\nb\r")


# -- when it fails


async def test_one_that_takes_too_long_and_then_is_left_alone() -> None:
    async with stage("time.sleep(600)", time_limit=Duration("300ms")) as made:
        for _ in range(3):
            with pytest.raises(Unreachable, match="no answer within"):
                await made(message())
        with pytest.raises(Unreachable, match="left alone"):
            await made(message())


async def test_what_it_complains_about_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    given = message()
    await verdict("print('ah\\n' * 1000, file=sys.stderr)", given)
    said = capfd.readouterr().err
    assert said.count('"event":"program-said"') == 10
    assert said.count(f'"id":"{given.id}"') == 10


async def test_a_pool_of_them() -> None:
    code = "for told in asked(): answer(facts={'pid': os.getpid(), 'size': len(told['content'])})"
    async with stage(code, pool=1) as made:
        found = [await made(message()), await made(message())]
    assert isinstance(found[0], Message)
    assert isinstance(found[1], Message)
    assert found[0].fact("scan.judge.pid") == found[1].fact("scan.judge.pid")
    assert found[0].fact("scan.judge.size") == len(LETTER)


# -- SpamAssassin


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("spamd")
    folder.chmod(0o777)
    with spamd(folder) as port:
        yield port


SPAM = LETTER + GTUBE.encode() + b"\r\n"


@needs("spamc", "spamd")
async def test_spamc_tells_spam_by_its_exit_code(port: int) -> None:
    made = Command(command=("spamc", "-x", "-c", "-d", "127.0.0.1", "-p", str(port)), codes={"1": "spam"})
    spam, ham = await made(message(content=SPAM)), await made(message())
    assert isinstance(spam, Message)
    assert isinstance(ham, Message)
    assert (spam.header("X-Spam-Flag"), ham.header("X-Spam-Flag")) == ("YES", None)
    score = spam.fact("scan.spamc.score")
    assert isinstance(score, float)
    assert score > 900


@needs("spamc", "spamd")
async def test_spamc_marks_a_message_itself(port: int) -> None:
    made = Command(command=("spamc", "-x", "-d", "127.0.0.1", "-p", str(port)), output="message")
    spam = await made(message(content=SPAM))
    assert isinstance(spam, Message)
    assert spam.header("X-Spam-Flag") == "YES"


@needs("spamc", "spamd")
async def test_spamc_without_a_spamd_has_no_answer(port: int) -> None:
    made = Command(command=("spamc", "-x", "-c", "-d", "127.0.0.1", "-p", "1"), codes={"69": "error"})
    with pytest.raises(Unreachable, match="exit 69"):
        await made(message())


# -- settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"command": ()}, "needs a program"),
        ({"command": ("/nowhere/x",)}, "no program"),
        ({"command": ("cat", "{helo}")}, "none of"),
        ({"command": ("cat", "{sender}{id}")}, "more than one"),
        ({"command": ("cat",), "codes": {"x": "pass"}}, "no exit code"),
        ({"command": ("cat",), "codes": {"256": "pass"}}, "no exit code"),
        ({"command": ("cat",), "name": "a-b"}, "letters"),
        ({"command": ("cat",), "at_once": 0}, "at least 1"),
        ({"command": ("cat",), "time_limit": Duration(0)}, "more than nothing"),
        ({"command": ("cat",), "pool": 2, "output": "json"}, "where there is a pool"),
        ({"command": ("cat", "{id}"), "pool": 2}, "no placeholders"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], said: str) -> None:
    assert [said in text for text in Command.check(**settings)] == [True]


def test_good_settings(tmp_path: Path) -> None:
    assert not list(Command.check(command=("cat", "{sender}"), codes={"1": "spam"}, folder=tmp_path))
