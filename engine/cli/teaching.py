"""How parked messages come to the spam filter: as files, by the command that teaches it."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, Self, TypeAlias

import click

from engine.cli.scan import train
from engine.message import Message, MessageId

Kind: TypeAlias = Literal["spam", "ham"]


class Lessons:
    """Messages that are put by while they can be read, to be learnt when it is known what becomes of them."""

    def __init__(self, ctx: click.Context, kind: Kind) -> None:
        self._ctx = ctx
        self._kind = kind

    def __enter__(self) -> Self:
        self._folder = TemporaryDirectory(prefix="postroad-lessons-")  # for our user alone
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def put_by(self, message: Message) -> None:
        with self._path(message.id).open("wb") as file:
            file.writelines(message.chunks())

    def leave_out(self, identity: MessageId) -> None:
        with suppress(FileNotFoundError):
            self._path(identity).unlink()

    def learn(self) -> None:
        """Have all learnt that are left, and say so."""
        if any(Path(self._folder.name).iterdir()):
            kinds = {"spam": self._kind == "spam", "ham": self._kind == "ham"}
            self._ctx.invoke(train, **kinds, account=None, paths=(Path(self._folder.name),))

    def _path(self, identity: MessageId) -> Path:
        return Path(self._folder.name) / f"{identity}.eml"
