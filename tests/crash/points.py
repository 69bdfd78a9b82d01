"""Points at which a process dies: see ``dying/sitecustomize.py``."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.system import EVERY
from tests.support.server import ROOT

_DYING = Path(__file__).parent / "dying"


@dataclass(frozen=True)
class Point:
    """Where a process dies."""

    process: str  # how its name begins; "" is a command's
    module: str
    name: str
    when: str = "after"
    count: int = 10
    needle: str = ""


def points(these: Mapping[str, Point], *, every: int = 3) -> list[Any]:
    """The parameters of a test: all in a long run, else one of so many, or with ``every`` 0 none."""
    chosen = list(these.items())[:: 1 if EVERY else every] if EVERY or every else []
    return [pytest.param(point, id=name) for name, point in chosen]


def environment(point: Point, died: Path) -> dict[str, str]:
    """What a process has to be started with, so that it or a child of it dies there; ``died`` is made then."""
    return {
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(_DYING))),
        "POSTROAD_DIE": json.dumps(asdict(point)),
        "POSTROAD_DIED": str(died),
    }
