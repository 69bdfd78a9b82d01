"""Programs that live on: one answers many questions, one that does not answer well is ended, and none is left."""

import os
import signal
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import pytest
import trio

from engine.scanning import Guard, Unreachable
from engine.scanning.judgement import Judgement, parse
from engine.scanning.pool import Pool
from engine.scanning.program import Command
from engine.scanning.telling import environment, line
from tests.support.messages import LETTER, message
from tests.support.server import alive
from tests.support.snippets import eventually, python

GOOD = """
for told in asked():
    told["content"] = hashlib.sha1(told["content"]).hexdigest()
    answer(text=str(os.getpid()), facts=told)
"""
LARGE = LETTER + b"line\r\n" * 200_000


def pool(code: str) -> Pool:
    return Pool("judge", Command(arguments=python(code), environment=environment(), folder=Path("/")))


async def ask(pool: Pool, content: bytes = LETTER, read: Callable[[bytes], Judgement] = parse) -> Judgement:
    letter = message(content=content)
    return await pool.ask(str(letter.id), lambda: [line(letter), *letter.chunks()], read)


async def test_one_program_answers_many_questions() -> None:
    async with pool(GOOD) as programs:
        found = [await ask(programs, content) for content in (LETTER, LARGE, LETTER)]
    assert len({one.text for one in found}) == 1
    assert [one.facts["content"] for one in found] == [sha1(content).hexdigest() for content in (LETTER, LARGE, LETTER)]
    assert found[0].facts["sender"] == "a@sender.test"
    assert found[0].facts["recipients"] == ["b@rcpt.test"]


async def test_as_many_programs_as_there_are_questions_at_a_time() -> None:
    found = []

    async def one() -> None:
        found.append((await ask(programs)).text)

    async with pool("for told in asked(): time.sleep(0.1); answer(text=str(os.getpid()))") as programs:
        for _ in range(3):
            async with trio.open_nursery() as nursery:
                for _ in range(4):
                    nursery.start_soon(one)
    assert len(set(found)) == 4


async def test_when_it_is_closed_they_hear_of_it_and_are_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "said"
    code = f"for told in asked(): answer(text=str(os.getpid()))\nopen({str(file)!r}, 'w')"
    async with pool(code) as programs:
        pid = int((await ask(programs)).text)
    assert not alive(pid)
    assert file.exists()


async def test_one_that_heeds_nothing_is_ended_with_what_it_has_started() -> None:
    code = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
told = head()
sys.stdin.buffer.read(told["size"])
answer(text=f"{os.getpid()} {started.pid}")
while True: time.sleep(60)
"""
    async with pool(code) as programs:
        pids = [int(pid) for pid in (await ask(programs)).text.split()]
    for pid in pids:
        await eventually(lambda pid=pid: not alive(pid))


async def test_one_that_died_meanwhile_is_replaced_and_no_zombie_is_left() -> None:
    async with pool(GOOD) as programs:
        first = int((await ask(programs)).text)
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: not Path(f"/proc/{first}").exists())
        assert int((await ask(programs)).text) != first


async def test_one_that_ends_when_it_is_asked_again_is_replaced() -> None:
    code = "answered = 0\nfor told in asked():\n if answered: sys.exit()\n answer(text=str(os.getpid())); answered = 1"
    async with pool(code) as programs:
        assert (await ask(programs)).text != (await ask(programs)).text


BAD = {
    "dies before it answers": ("head(); sys.exit(1)", "without an answer"),
    "dies at once": ("sys.exit(1)", "without an answer"),
    "dies in the midst of the answer": ("head(); print('{\"verdict\":', end='', flush=True)", "midst of an answer"),
    "says nonsense": ("for told in asked(): print('hello', flush=True)", "nonsense"),
    "says what is no verdict": ("for told in asked(): answer(verdict='perhaps')", "nonsense"),
    "says what nobody asked for": ("for told in asked(): answer(colour='red')", "nonsense"),
    "says more than can be kept": ("for told in asked(): answer(facts={'n': 2**64})", "too large"),
    "says lists without an end": (
        "for told in asked(): print('{\"facts\": {\"n\": ' + '[' * 99999, flush=True)",
        "nonsense",
    ),
    "says lists in lists": (
        "for told in asked(): answer(facts={'n': [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]})",
        "within each other",
    ),
    "says two lines": ("for told in asked(): print('{}\\n{}', flush=True)", "more than one line"),
    "says more and more": ("while True: print('x' * 65536, end='')", "octets"),
}


@pytest.mark.parametrize(("code", "why"), BAD.values(), ids=BAD)
async def test_one_that_gives_no_answer_is_ended(code: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "pids"
    async with pool(f"open({str(file)!r}, 'a').write(f'{{os.getpid()}} ')\n{code}") as programs:
        for _ in range(2):
            with pytest.raises(Unreachable, match=why):
                await ask(programs)
        first, second = map(int, file.read_text().split())
        assert not alive(first)
        assert not alive(second)


@pytest.mark.parametrize("code", ["time.sleep(600)", "while True: print('x' * 65536, file=sys.stderr)"])
async def test_one_that_takes_too_long_is_ended(code: str, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    guard = Guard("judge", time_limit=2, at_once=1)
    async with pool(f"open({str(file)!r}, 'w').write(str(os.getpid()))\n{code}") as programs:
        with pytest.raises(Unreachable):
            await guard.call(lambda: ask(programs, LARGE))
        assert not alive(int(file.read_text()))


async def test_what_it_complains_about_is_logged_up_to_a_limit(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "for told in asked(): print('ah\\n' * 1000, file=sys.stderr, flush=True); time.sleep(0.2); answer()"
    async with pool(code) as programs:
        await ask(programs)
        await ask(programs)
    assert capfd.readouterr().err.count('"text":"ah"') == 20
