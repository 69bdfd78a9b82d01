"""Let a program judge messages, or change them: by its exit code, by a line of JSON, or by what it writes."""

import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from msgspec.structs import replace

from engine import Duration, Message, Size, Verdict
from engine.scanning.guard import Guard, Unreachable
from engine.scanning.judgement import Judgement, Word, judged, of_code, parse
from engine.scanning.pool import ANSWER, Pool
from engine.scanning.program import Command as Started
from engine.scanning.program import Limits, Result, complain, run
from engine.scanning.telling import arguments, environment, line, misplaced, with_bare_newlines

GROWTH = 2**20
"""Octets by which a message that was changed may be longer than twice the one that was given."""

_BEGINS_WITH_A_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")


@dataclass
class Command:
    """Runs a program for each message, or keeps some running. See docs/other-filters.md."""

    leaves: ClassVar = ("scan.",)

    _: KW_ONLY
    command: tuple[str, ...]
    """The program and its arguments, which may hold placeholders. There is no shell."""
    name: str = ""
    """What it is called in facts and events. Empty: as the program."""
    output: Literal["text", "json", "message"] = "text"
    """What it writes to its standard output, when it is run for each message."""
    codes: dict[str, Word] | None = None
    """What exit codes mean, beside those of sysexits(3)."""
    text: str = ""
    """What the sender hears of a message that is refused by exit code."""
    newlines: Literal["crlf", "lf"] = "crlf"
    """How lines of the message end that it is given."""
    pool: int = 0
    """So many live on in each worker, and answer by JSON. 0: it is run for each message."""
    at_once: int = 10
    """Without a pool: so many at a time in each worker."""
    time_limit: Duration = Duration("30s")
    """For one message; as long again it may wait for its turn."""
    folder: Path = Path("/")
    memory: Size = Size(0)
    """Address space of one process. 0: no limit."""
    cpu: Duration = Duration(0)
    """Processor time of one process. 0: no limit."""

    def __post_init__(self) -> None:
        self.name = self.name or re.sub(r"\W", "_", Path(self.command[0]).name)
        self._guard = Guard(self.name, time_limit=self.time_limit, at_once=self.pool or self.at_once)
        self._codes: Mapping[int, Word] = {int(code): word for code, word in (self.codes or {}).items()}
        self._limits = Limits(memory=self.memory, cpu=self.cpu)
        self._pool = Pool(self.name, self._started(self.command, environment())) if self.pool else None

    @staticmethod
    def check(**settings: Any) -> Iterator[str]:
        """What is wrong with the settings that were given."""
        command = settings["command"]
        if not command:
            yield "command needs a program"
            return
        if shutil.which(command[0], path=environment()["PATH"]) is None:
            yield f"there is no program {command[0]}"
        yield from misplaced(command)
        yield from (f"{name} must be at least 1" for name in ("pool", "at_once") if settings.get(name, 1) < 1)
        yield from (f"{code!r} is no exit code" for code in settings.get("codes") or () if not _is_code(code))
        if not re.fullmatch(r"\w*", settings.get("name", ""), re.ASCII):
            yield "name may have letters, digits and _"
        if settings.get("time_limit", 1) <= 0:
            yield "time_limit must be more than nothing"
        if settings.get("pool"):
            # Such a program is told of each message on its standard input, and answers by JSON.
            for name in ("output", "codes", "text", "newlines", "at_once"):
                if name in settings:
                    yield f"{name} means nothing where there is a pool"
            if any("{" in argument for argument in command):
                yield "a pool is started before there is a message: its command has no placeholders"

    async def __aenter__(self) -> Self:
        if self._pool is not None:
            await self._pool.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            await self._pool.__aexit__(kind, error, trace)

    async def __call__(self, message: Message) -> Verdict:
        return await self._guard.call(partial(self._ask if self._pool is None else self._ask_pool, message))

    async def _ask_pool(self, message: Message) -> Verdict:
        assert self._pool is not None

        def question() -> Iterator[bytes]:
            yield line(message)
            yield from message.chunks()

        return await self._pool.ask(str(message.id), question, lambda answer: judged(message, parse(answer), self.name))

    async def _ask(self, message: Message) -> Verdict:
        most = 2 * message.size + GROWTH if self.output == "message" else ANSWER
        chunks = message.chunks()
        given = with_bare_newlines(chunks) if self.newlines == "lf" else chunks
        command = self._started(tuple(arguments(self.command, message)), environment(message))
        result = await run(command, given, most=most)
        complain(self.name, str(message.id), result.errors)
        judgement = self._judgement(result)
        if self.output == "message" and judgement.verdict in ("pass", "spam"):
            message = _changed(message, result)
        return judged(message, judgement, self.name)

    def _judgement(self, result: Result) -> Judgement:
        if self.output == "json" and not result.code:
            return parse(result.output.partition(b"\n")[0])
        said = result.output if self.output == "text" else b""
        return replace(of_code(result.code, said, self._codes), text=self.text)

    def _started(self, command: tuple[str, ...], given: Mapping[str, str]) -> Started:
        return Started(arguments=command, environment=given, folder=self.folder, limits=self._limits)


def _changed(message: Message, result: Result) -> Message:
    if not result.whole:
        raise Unreachable("wrote a message without an end")
    if not _BEGINS_WITH_A_FIELD.match(result.output):
        raise Unreachable("wrote no message")
    return message.with_content(result.output)


def _is_code(code: str) -> bool:
    return code.isascii() and code.isdecimal() and int(code) <= 255
