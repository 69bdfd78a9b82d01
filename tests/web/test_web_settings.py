"""`[listen] web` and `[web]`: what is set, what is a mistake, and which processes come of it."""

import pytest

from engine.config import ConfigError, parse
from engine.runtime.places import WEB, listeners, processes
from tests.support.site import BASIC


def mistakes(tmp_path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text, tmp_path / "pipeline.toml")
    return str(caught.value)


def with_table(text: str) -> str:
    return f"{BASIC}\n[web]\n{text}\n"


def test_nothing_need_be_set(tmp_path):
    config = parse(BASIC, tmp_path / "pipeline.toml")
    assert [process.name for process in processes(config) if process.place == WEB] == ["web"]
    assert listeners(config, WEB) == ["web"]


def test_there_may_be_several_processes_and_metrics_beside(tmp_path):
    text = with_table("processes = 3").replace('web = "', 'metrics = "127.0.0.1:0"\nweb = "')
    config = parse(text, tmp_path / "pipeline.toml")
    assert [process.name for process in processes(config) if process.place == WEB] == ["web", "web-1", "web-2"]
    assert listeners(config, WEB) == ["metrics", "web"]


def test_metrics_alone_have_one_process(tmp_path):
    text = BASIC.replace('web = "127.0.0.1:0"', 'metrics = "127.0.0.1:0"')
    config = parse(text, tmp_path / "pipeline.toml")
    assert [process.name for process in processes(config) if process.place == WEB] == ["web"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("processes = 0", "[web] processes: must be at least 1"),
        ('origin = "mail.example.org"', "is no origin"),
        ('origin = "https://mail.example.org/"', "is no origin"),
        ('origin = "http://mail.example.org"', "is no origin"),
        ('origin = "https://mail.example.org/mail"', "is no origin"),
        ('origin = "https://a@mail.example.org"', "is no origin"),
        ('idle = "0s"', "[web] idle: must be more than nothing"),
        ('lifetime = "0s"', "[web] lifetime: must be more than nothing"),
        ("max_connections = 0", "[web] max_connections: must be more than nothing"),
        ('origins = "x"', "unknown key; did you mean origin"),
    ],
)
def test_mistakes(tmp_path, text, why):
    assert why in mistakes(tmp_path, with_table(text))


@pytest.mark.parametrize("origin", ["https://mail.example.org", "https://a:8443", "http://localhost:8080"])
def test_origins(tmp_path, origin):
    assert parse(with_table(f'origin = "{origin}"'), tmp_path / "pipeline.toml").web.origin == origin


def test_beyond_this_machine_it_needs_a_certificate(tmp_path):
    said = mistakes(tmp_path, BASIC.replace("127.0.0.1:0", "192.0.2.1:443"))
    assert "[listen] web: is open to others than this machine" in said


def test_the_table_alone_serves_nobody(tmp_path):
    said = mistakes(tmp_path, with_table("processes = 2").replace('web = "127.0.0.1:0"', 'smtp = "127.0.0.1:0"'))
    assert "[web]: nothing listens" in said


def test_a_lane_cannot_have_the_listener(tmp_path):
    text = BASIC.replace('stages = ["accept"', 'listen = ["web"]\nstages = ["accept"')
    assert "[listen] web: is served by the engine" in mistakes(tmp_path, text)
