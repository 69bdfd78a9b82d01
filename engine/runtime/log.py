"""Where the events of this process go, as `[log]` says."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from engine.config import NOWHERE, Config
from engine.observe.events import event
from engine.observe.outputs import File, Journal, Output, StandardError, Syslog
from engine.observe.veil import KEY, Veil
from engine.storage.files import private

KEY_FILE = "log.key"
"""In the data folder: by it addresses are hashed. Whoever has it can try out whose they are."""


def log_to(config: Config) -> None:
    """From now on write there. OSError, with all as it was, when one of the outputs cannot be had."""
    with contextlib.ExitStack() as undo:
        outputs: list[Output] = []
        for output in _outputs(config):
            undo.callback(output.close)
            outputs.append(output)
        veil = Veil(_key(config.server.data)) if config.log.addresses == "hashed" else None
        undo.pop_all()
    event.to(outputs, veil)


def veil_of(config: Config) -> Veil | None:
    """What lies over addresses in the log; None: nothing. OSError when its key cannot be read."""
    return Veil((config.server.data / KEY_FILE).read_bytes()) if config.log.addresses == "hashed" else None


def _outputs(config: Config) -> Iterator[Output]:
    log = config.log
    if log.stderr:
        yield StandardError()
    if log.file != NOWHERE:
        log.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        yield File(log.file, size=log.file_size, keep=log.files)
    if log.journald:
        yield Journal()
    if log.syslog:
        yield Syslog(log.syslog, config.server.hostname)


def _key(data: Path) -> bytes:
    """The key, made by the first process that needs it."""
    path = data / KEY_FILE
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    mine = data / f"{KEY_FILE}.{os.getpid()}"
    try:
        with open(mine, "wb", opener=private) as file:
            file.write(secrets.token_bytes(KEY))
        with contextlib.suppress(FileExistsError):
            os.link(mine, path)  # whoever is first
    finally:
        mine.unlink(missing_ok=True)
    return path.read_bytes()
