"""Jobs that a program of its own does."""

from typing import Any

import msgspec

from engine.operations import trying
from engine.operations.impossible import Impossible
from engine.web.api.jobs import Progress
from engine.web.api.problems import Problem


async def by_program(module: str, wanted: msgspec.Struct, kind: type[Any], refused: str, progress: Progress) -> None:
    """Run a module of ours on ``wanted``; its result is of that ``kind``. Problem, with ``refused`` where it does not
    say why."""
    try:
        progress.result = msgspec.convert(await trying.by_program(module, wanted, progress.told, refused), kind)
    except Impossible as error:
        raise Problem(409, str(error)) from error
