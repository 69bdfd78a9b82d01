"""`[traces]` in pipeline.toml: what is refused, and what is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import ConfigError, Traces, parse
from tests.support.server import BASE, ROOT, merged, toml


def read(folder: Path, **traces: object) -> Traces:
    found = parse(toml(merged(BASE, {"traces": traces})), folder / "pipeline.toml").traces
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("settings", "place", "text"),
    [
        ({"endpoint": "127.0.0.1:4318"}, "[traces] endpoint", "is no collector"),
        ({"endpoint": "http://me:secret@c.test"}, "[traces] endpoint", "is no collector"),
        ({"endpoint": "http://[::1"}, "[traces] endpoint", "is no collector"),
        ({"endpoint": "http://c.test:99999"}, "[traces] endpoint", "is no collector"),
        ({"share": 101}, "[traces] share", "from 0 to 100"),
        ({"share": -0.5}, "[traces] share", "from 0 to 100"),
        ({"timeout": "0s"}, "[traces] timeout", "more than nothing"),
        ({"trust": "nowhere.pem"}, "[traces] trust", "no such file"),
        ({"headers_file": "nowhere"}, "[traces] headers_file", "No such file"),
        ({"headers_file": "bad"}, "[traces] headers_file", 'not "Name: value"'),
        ({"headers_file": "good", "endpoint": "http://c.test:4318"}, "[traces] headers_file", "in the clear"),
        ({"attributes": {"team": 7}}, "[traces.attributes]", "Expected `str`"),
        ({"sample": 5}, "[traces] sample", "unknown key"),
    ],
)
def test_what_is_refused(tmp_path: Path, settings: dict[str, object], place: str, text: str) -> None:
    (tmp_path / "bad").write_text("Authorization: Bearer x\nsecret\n")
    (tmp_path / "good").write_text("Authorization: Bearer x\n")
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, **({"endpoint": "http://127.0.0.1:4318"} | settings))
    (problem,) = caught.value.problems
    assert (problem.place, text in problem.text) == (place, True)
    assert "secret" not in problem.text


def test_what_is_read(tmp_path: Path) -> None:
    (tmp_path / "headers").write_text("Authorization: Bearer a b\n\nX-Tenant:mail\n")
    found = read(tmp_path, endpoint="https://c.test", headers_file="headers", share=2.5)
    assert found.headers() == {"Authorization": "Bearer a b", "X-Tenant": "mail"}
    assert found.share == 2.5
    assert read(tmp_path, endpoint="http://c.test:4318").headers() == {}


def test_check_says_that_the_packages_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry" / "__init__.py").touch()  # found first, it has nothing of what is wanted
    config = tmp_path / "pipeline.toml"
    config.write_text(toml(merged(BASE, {"traces": {"endpoint": "http://127.0.0.1:4318"}})))
    done = subprocess.run(
        [sys.executable, "-m", "engine", "--config", str(config), "check"],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}"}, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'postroad[traces]'" in done.stderr
