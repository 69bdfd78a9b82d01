"""Messages of whatever a path holds, for commands that only look at them: mbox, Maildir, .eml, or plain files."""

import os
from collections.abc import Iterator
from pathlib import Path

from engine.exchange import mbox
from engine.exchange.files import opened
from engine.exchange.letters import Broken, Found, Letter, pieces_of, with_crlf
from engine.exchange.sources import Source


def messages(path: Path) -> Iterator[Found | Broken]:
    """Each message of a file or a folder. A letter is to be read before the next one is asked for.

    In a folder that is no Maildir and has no .eml files, each file is an mbox or one message: corpora come so.
    """
    if path.is_file():
        yield from _file(path)
        return
    try:
        source = Source.at(path)
    except ValueError as error:
        source = None
        if not path.is_dir():
            yield Broken(str(path), str(error))
    if source is not None and source.kind != "mbox":
        yield from source.letters()
        return
    for folder, _, names in sorted(os.walk(path)):
        for name in sorted(name for name in names if not name.startswith(".")):
            yield from _file(Path(folder, name))


def _file(path: Path) -> Iterator[Found | Broken]:
    try:
        with opened(path) as file:
            if file.read(5) != b"From ":
                file.seek(0)
                yield Found(str(path), "", Letter(with_crlf(pieces_of(file))))
                return
        yield from mbox.read(path, "")
    except OSError as error:
        yield Broken(str(path), error.strerror or str(error))
