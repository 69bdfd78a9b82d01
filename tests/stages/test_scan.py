"""The stage scan with the real rspamd and clamd: verdicts, what is told to whom, wrong settings."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from engine import Defer, Discard, Message, Reject, Verdict
from engine.config import ConfigError, load
from engine.message import PARK, RELEASED
from engine.net.names import Hostname
from engine.scanning.clamav import ClamavSettings
from engine.scanning.rspamd import RspamdSettings
from stages.scan import LATER, REFUSED, Scan
from tests.support.messages import message
from tests.support.programs import marks
from tests.support.scanners import EICAR, GTUBE, VIRUS, Clamd, Rspamd, attached
from tests.support.server import free_port

pytestmark = marks("rspamd", "clamd")


@pytest.fixture(scope="module")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Rspamd, Clamd]]:
    folder = tmp_path_factory.mktemp("scanners")
    with Rspamd(folder / "rspamd") as rspamd, Clamd(folder / "clamd") as clamd:
        yield rspamd, clamd


def letter(body: str = "hello", **fields: str) -> Message:
    lines = [f"X-Test-{name.capitalize()}: {value}\r\n" for name, value in fields.items()]
    return message("b@example.org", content=f"Subject: hello\r\n{''.join(lines)}\r\n{body}\r\n".encode())


async def verdict(
    daemons: tuple[Rspamd, Clamd], letter: Message, *, rspamd: object = None, clamav: object = None
) -> Verdict:
    """That of the stage with both scanners; settings of one may be others."""
    first, second = daemons
    settings = {
        "rspamd": RspamdSettings(**{**first.settings, **(rspamd or {})}),  # type: ignore[dict-item]
        "clamav": ClamavSettings(**{**second.settings, **(clamav or {})}),  # type: ignore[dict-item]
    }
    async with Scan(Hostname("mx.example.org"), **settings) as scan:  # type: ignore[arg-type]
        return await scan(letter)


async def test_clean_mail_goes_on_with_what_was_found(daemons: tuple[Rspamd, Clamd]) -> None:
    passed = await verdict(daemons, letter(score="2"))
    assert isinstance(passed, Message)
    facts = passed.envelope.facts
    assert facts["scan.action"] == "none"
    assert facts["scan.score"] == facts["scan.rspamd.score"] == 2
    assert facts["scan.rspamd.symbols"] == {"TEST_SCORE": 2}
    assert not [name for name in facts if name.startswith("scan.clamav")]


async def test_spam_is_marked(daemons: tuple[Rspamd, Clamd]) -> None:
    passed = await verdict(daemons, letter(score="7"))
    assert isinstance(passed, Message)
    assert passed.headers("X-Spam") == ["Yes"]


@pytest.mark.parametrize("order", ["spam", "virus"])
async def test_each_of_them_can_refuse(daemons: tuple[Rspamd, Clamd], order: str) -> None:
    content = letter(GTUBE) if order == "spam" else message(content=attached(EICAR))
    said = await verdict(daemons, content)
    assert isinstance(said, Reject)
    assert (said.code, said.text) == (
        "5.7.1",
        "Gtube pattern" if order == "spam" else f"This message is infected by {VIRUS}",
    )
    assert (
        "rspamd: reject score 15 reject GTUBE(0)" if order == "spam" else f"clamav: reject infected by {VIRUS}"
    ) in said.log


async def test_clients_hear_little_and_operators_all(daemons: tuple[Rspamd, Clamd]) -> None:
    said = await verdict(daemons, letter(score="15.5"))
    assert isinstance(said, Reject)
    assert said.text == "This message looks like spam"
    assert "score 15.5" in said.log
    assert "TEST_SCORE(15.5)" in said.log


async def test_what_rspamd_wants_later(daemons: tuple[Rspamd, Clamd]) -> None:
    said = await verdict(daemons, letter(action="soft reject", text="Greylisted"))
    assert isinstance(said, Defer)
    assert (said.code, said.text) == ("4.7.1", "Greylisted")
    assert isinstance(await verdict(daemons, letter(action="soft reject")), Defer)


async def test_a_virus_beats_a_deferral(daemons: tuple[Rspamd, Clamd]) -> None:
    said = await verdict(daemons, letter(EICAR.decode(), action="soft reject"))
    assert isinstance(said, Reject)


async def test_what_is_discarded(daemons: tuple[Rspamd, Clamd]) -> None:
    said = await verdict(daemons, letter(EICAR.decode()), clamav={"infected": "discard"})
    assert isinstance(said, Discard)
    assert VIRUS in said.reason


async def test_what_is_parked_keeps_what_was_found(daemons: tuple[Rspamd, Clamd]) -> None:
    said = await verdict(daemons, letter(EICAR.decode(), score="7"), clamav={"infected": "quarantine"})
    assert isinstance(said, Message)
    assert said.fact(PARK) == f"infected by {VIRUS}"
    assert said.fact("scan.clamav.virus") == VIRUS
    assert said.header("X-Spam") == "Yes"


async def test_what_an_operator_let_go_on_is_not_parked_again(daemons: tuple[Rspamd, Clamd]) -> None:
    infected = letter(EICAR.decode())
    released = infected.with_fact(RELEASED, ["something else", f"infected by {VIRUS}"])
    said = await verdict(daemons, released, clamav={"infected": "quarantine"})
    assert isinstance(said, Message)
    assert said.fact(PARK) is None
    other = infected.with_fact(RELEASED, ["something else"])
    said = await verdict(daemons, other, clamav={"infected": "quarantine"})
    assert isinstance(said, Message)
    assert said.fact(PARK)


@pytest.mark.parametrize("on_error", ["defer", "skip", "reject", "quarantine"])
async def test_one_of_them_is_away(daemons: tuple[Rspamd, Clamd], on_error: str) -> None:
    away = {"url": f"http://127.0.0.1:{free_port()}", "on_error": on_error}
    said = await verdict(daemons, letter(), rspamd=away)
    match on_error:
        case "defer":
            assert isinstance(said, Defer)
            assert "Connection refused" in said.log
            assert "rspamd" not in said.text
        case "reject":
            assert isinstance(said, Reject)
        case _:
            assert isinstance(said, Message)
            assert bool(said.fact(PARK)) is (on_error == "quarantine")
            assert "Connection refused" in str(said.fact("scan.rspamd.error"))


async def test_a_virus_is_refused_though_the_other_one_is_away(daemons: tuple[Rspamd, Clamd]) -> None:
    for on_error in ("defer", "skip", "quarantine"):
        away = {"url": f"http://127.0.0.1:{free_port()}", "on_error": on_error}
        said = await verdict(daemons, letter(EICAR.decode()), rspamd=away)
        assert isinstance(said, Reject)
        assert VIRUS in said.text


async def test_mail_of_those_who_have_logged_in_is_scanned(daemons: tuple[Rspamd, Clamd]) -> None:
    ours = letter(EICAR.decode())
    session = replace(ours.session, login="ann@example.org", trusted=True)
    ours = replace(ours, envelope=replace(ours.envelope, session=session))
    assert isinstance(await verdict(daemons, ours), Reject)


BASE = """\
[server]
hostname = "mx.example.org"

[listen]
smtp = "127.0.0.1:0"

[lane.inbound]
stages = ["accept", "scan", "queue"]

[stage.scan]
"""


@pytest.mark.parametrize(
    ("settings", "line", "said"),
    [
        ("", 10, "name a scanner"),
        ('rspamd = { url = "localhost:11333" }', 11, "is no URL of rspamd"),
        ('rspamd = { url = "http://127.0.0.1:99999" }', 11, "is no URL"),
        ("rspamd = { }", 11, "missing required field `url`"),
        ('rspamd = "http://127.0.0.1"', 11, "Expected `object | null`"),
        ('rspamd = { url = "http://127.0.0.1", timelimit = "5s" }', 11, "unknown field `timelimit`"),
        ('rspamd = { url = "http://127.0.0.1", at_once = 0 }', 11, "at_once must be at least 1"),
        ('rspamd = { url = "http://127.0.0.1", on_error = "ignore" }', 11, "on_error"),
        ('rspamd = { url = "http://127.0.0.1", time_limit = "long" }', 11, "is no duration"),
        ('rspamd = { url = "http://127.0.0.1", password_file = "nowhere" }', 10, "No such file"),
        ('rspamd = { url = "https://127.0.0.1", trust = "pipeline.toml" }', 10, "pipeline.toml holds no certificate"),
        ('clamav = { socket = "clamd.ctl" }', 11, "is no host and port"),
        ('clamav = { socket = "/run/clamd", max_size = "much" }', 11, "is no size"),
        ('[stage.scan.clamav]\nsocket = "/run/clamd"\ninfected = "pass"', 11, "infected"),
        ('virusscanner = { socket = "/run/clamd" }', 11, "unknown setting"),
    ],
)
def test_wrong_settings(tmp_path: Path, settings: str, line: int, said: str) -> None:
    (tmp_path / "pipeline.toml").write_text(f"{BASE}{settings}\n")
    with pytest.raises(ConfigError) as error:
        load(tmp_path / "pipeline.toml")
    found = [(one.line, one.text) for one in error.value.problems]
    assert [one for one, text in found if said in text] == [line], found


def test_the_texts_that_stand_in_for_others_are_fit_for_a_reply() -> None:
    assert all(text.isascii() and len(text) < 100 for text in (REFUSED, LATER))
