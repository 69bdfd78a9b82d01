"""ClamAV by the real clamd: what is found, what is too large for it, and connections that it has closed."""

import base64

import pytest
import trio

from engine import Size
from engine.scanning import Finding, Unreachable
from engine.scanning.clamav import Clamav, ClamavSettings
from tests.support.messages import message
from tests.support.programs import marks
from tests.support.scanners import EICAR, STREAM_LIMIT, VIRUS, Clamd, attached, zipped

pytestmark = marks("clamd")


CLEAN = Finding(virus_level=1)
LETTER = b"From: ann@example.net\r\nSubject: something\r\n"


def scanner(clamd: Clamd, **settings: object) -> Clamav:
    return Clamav(ClamavSettings(**{**clamd.settings, **settings}))  # type: ignore[arg-type]


async def found(clamd: Clamd, content: bytes, **settings: object) -> Finding:
    async with scanner(clamd, **settings) as clamav:
        return await clamav.scan(message(content=content))


@pytest.mark.parametrize(
    "content",
    [
        LETTER + b"\r\n" + EICAR + b"\r\n",
        attached(EICAR),
        attached(zipped(EICAR), "found.zip"),
        LETTER
        + b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(EICAR),
        EICAR,
    ],
    ids=["plain", "attached", "zip", "base64", "bare"],
)
async def test_a_virus_is_found(clamd: Clamd, content: bytes) -> None:
    assert await found(clamd, content) == Finding(
        action="reject",
        text=f"This message is infected by {VIRUS}",
        code="5.7.1",
        reason=f"infected by {VIRUS}",
        virus_level=5,
        facts={"virus": VIRUS},
    )


@pytest.mark.parametrize("content", [b"", b"\r\n", attached(b"harmless"), attached(b"x" * (STREAM_LIMIT // 2))])
async def test_what_is_clean(clamd: Clamd, content: bytes) -> None:
    assert await found(clamd, content) == CLEAN


async def test_fields_that_we_have_added_are_scanned_too(clamd: Clamd) -> None:
    async with scanner(clamd) as clamav:
        letter = message(content=b"\r\n" + b"x" * 100_000).with_header("X-Note", "harmless")
        assert await clamav.scan(letter) == CLEAN
        assert (await clamav.scan(letter.with_header("X-Note", EICAR.decode()))).facts == {"virus": VIRUS}


@pytest.mark.parametrize("action", ["reject", "quarantine", "discard"])
async def test_what_becomes_of_it_is_the_operators_affair(clamd: Clamd, action: str) -> None:
    assert (await found(clamd, EICAR, infected=action)).action == action


@pytest.mark.parametrize(("too_large", "action"), [("skip", "none"), ("defer", "defer"), ("reject", "reject")])
@pytest.mark.parametrize("max_size", ["100 KB", "10 MB"], ids=["known before", "said by clamd"])
@pytest.mark.parametrize("size", [STREAM_LIMIT + 1, 5 * STREAM_LIMIT])
async def test_what_is_too_large(clamd: Clamd, too_large: str, action: str, max_size: str, size: int) -> None:
    finding = await found(clamd, b"x" * size, too_large=too_large, max_size=Size(max_size))
    assert (finding.action, finding.facts) == (action, {"skipped": "too large"})


async def test_what_is_too_large_for_a_kept_connection(clamd: Clamd) -> None:
    async with scanner(clamd) as clamav:
        for content in (b"x", b"x" * 5 * STREAM_LIMIT, EICAR, b"x"):
            finding = await clamav.scan(message(content=content))
            assert finding.facts == ({"skipped": "too large"} if len(content) > STREAM_LIMIT else finding.facts)


async def test_many_at_once_and_one_after_the_other(clamd: Clamd) -> None:
    async with scanner(clamd) as clamav:
        wrong: list[int] = []

        async def ask(number: int) -> None:
            infected = number % 3 == 0
            content = attached(EICAR if infected else b"%d" % number)
            finding = await clamav.scan(message(content=content))
            if bool(finding.facts) is not infected:
                wrong.append(number)

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for number in range(20):
                    nursery.start_soon(ask, number)
        assert not wrong


async def test_by_tcp(clamd: Clamd) -> None:
    assert (await found(clamd, EICAR, socket=f"127.0.0.1:{clamd.port}")).facts == {"virus": VIRUS}
    assert (await found(clamd, EICAR, socket=f"localhost:{clamd.port}")).facts == {"virus": VIRUS}


async def test_a_clamd_that_was_started_again_is_asked_again(clamd: Clamd) -> None:
    async with scanner(clamd) as clamav:
        await clamav.scan(message())
        clamd.kill()
        with pytest.raises(Unreachable, match=r"No such file|refused"):
            await clamav.scan(message())
        await trio.to_thread.run_sync(clamd.start)
        assert (await clamav.scan(message(content=EICAR))).facts == {"virus": VIRUS}


async def test_a_scan_that_is_cancelled_spoils_no_other(clamd: Clamd) -> None:
    async with scanner(clamd) as clamav:
        await clamav.scan(message())
        with trio.move_on_after(0):
            await clamav.scan(message(content=attached(EICAR)))
        for _ in range(3):
            assert await clamav.scan(message()) == CLEAN


@pytest.mark.parametrize("socket", ["clamd.ctl", "127.0.0.1", "host:0", ""])
def test_what_is_no_socket(socket: str) -> None:
    with pytest.raises(ValueError, match="host and port"):
        ClamavSettings(socket=socket)
