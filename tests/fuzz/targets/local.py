"""What comes from this machine and may be damaged or mistyped: frames, pipeline.toml, conditions, units, snapshots."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType

from engine import Envelope, Message, MessageId, Recipient
from engine.condition import parse_condition
from engine.condition.reading import read
from engine.config import Config, ConfigError, parse
from engine.links import wire
from engine.message import Octets
from engine.queue import snapshot as queue_snapshot
from engine.storage.environment import StorageError
from engine.units import Duration, Size

_FACTS = {"scan.score": 4.2, "spf.result": "pass", "scan.names": ["a", "b"], "x": None, "y": {"z": True}}
_MESSAGE = Message(
    MessageId(bytes(16)), Envelope("a@b.test", (Recipient("c@d.test"),), facts=MappingProxyType(_FACTS)), Octets(b"x")
)


def link(data: bytes) -> None:
    """A frame between processes."""
    with contextlib.suppress(wire.WireError):
        body = wire.unpack(data)
        packed = wire.pack(body)
        assert wire.pack(wire.unpack(packed)) == packed


def configuration(data: bytes) -> None:
    """pipeline.toml: read, or every mistake with its place."""
    text, path = data.decode("utf-8", "replace"), Path("/nonexistent/pipeline.toml")
    config = _parsed(text, path)
    if isinstance(config, ConfigError):
        assert config.problems
        assert all(problem.text and 0 <= problem.line <= len(text) + 1 for problem in config.problems)
        assert str(config)
    else:
        again = parse(config.text, path)
        assert (again.lanes, again.courses, again.queue) == (config.lanes, config.courses, config.queue)


def _parsed(text: str, path: Path) -> Config | ConfigError:
    try:
        return parse(text, path)
    except ConfigError as error:
        return error


def condition(data: bytes) -> None:
    """A condition on facts: what can be read can be asked of any message."""
    with contextlib.suppress(ValueError):
        found = parse_condition(data.decode("utf-8", "replace"))
        try:
            holds = found.holds(_MESSAGE)
        except ValueError as error:
            raise AssertionError("it cannot be asked") from error
        assert isinstance(holds, bool)
        assert read(str(found.tree)) == found.tree


def units(data: bytes) -> None:
    """Sizes and durations: finite ones."""
    text = data.decode("utf-8", "replace")
    for kind in (Size, Duration):
        with contextlib.suppress(ValueError):
            assert 0 <= kind(text) < float("inf")


def snapshot(data: bytes) -> None:
    """A snapshot of a queue: put back, or refused with nothing put back."""
    folder = Path(tempfile.mkdtemp())
    try:
        file = folder / "snapshot"
        file.write_bytes(data)
        try:
            queue_snapshot.restore(file, folder / "data", map_size=2**20)
        except StorageError:
            assert not list((folder / "data").glob("*"))
        else:
            for path in (folder / "data").rglob("*"):
                assert path.is_dir() or path.parent.name == "content" or path.name == "data.mdb"
    finally:
        shutil.rmtree(folder)
