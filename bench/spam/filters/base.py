"""What a filter is to the measurement."""

import shutil
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Self

from bench.spam.corpus import Mail


class Filter(AbstractContextManager["Filter"], ABC):
    """A context manager: it runs until the end of the block, with all that it keeps in ``folder``."""

    name: ClassVar[str]
    programs: ClassVar[tuple[str, ...]] = ()
    cut: ClassVar[float]
    """The score from which on its own defaults take a message for spam."""
    learns: ClassVar[bool] = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.chmod(0o777)  # some of them become nobody

    @classmethod
    def lacking(cls) -> list[str]:
        """Programs that are not here."""
        return [program for program in cls.programs if shutil.which(program) is None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return

    @abstractmethod
    def learn(self, mail: Sequence[Mail]) -> None: ...

    @abstractmethod
    def score(self, mail: Mail) -> float: ...

    @abstractmethod
    def version(self) -> str: ...


def mbox(path: Path, mail: Sequence[Mail], *, is_spam: bool) -> Path:
    """Write the messages of one kind into a file, as commands that learn want them."""
    with path.open("wb") as file:
        for one in mail:
            if one.is_spam == is_spam:
                body = one.octets.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ")
                file.write(b"From x@x.test Thu Jan  1 00:00:00 1970\n" + body + b"\n\n")
    return path


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def until(answers: Callable[[], object], what: str) -> None:
    """Wait until it raises no OSError any more: rspamd compiles its expressions first."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        try:
            answers()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError(f"{what} does not answer")
