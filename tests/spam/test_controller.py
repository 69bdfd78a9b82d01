"""A real rspamd is taught by its controller."""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.spam.controller import Controller
from tests.support.programs import marks, path_of
from tests.support.scanners import PASSWORD, Rspamd
from tests.support.server import free_port

pytestmark = marks("rspamd", "redis-server")


CLASSIFIER = """
classifier "bayes" {{
  tokenizer {{ name = "osb"; }}
  backend = "redis"; servers = "127.0.0.1:{port}"; min_tokens = 1;
  statfile {{ symbol = "BAYES_HAM"; spam = false; }}
  statfile {{ symbol = "BAYES_SPAM"; spam = true; }}
}}
"""


@pytest.fixture
def rspamd(tmp_path: Path) -> Iterator[Rspamd]:
    port = free_port()
    command = [
        path_of("redis-server"),
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as redis:
        try:
            daemon = Rspamd(tmp_path / "rspamd")
            with (tmp_path / "rspamd" / "rspamd.conf").open("a") as file:
                file.write(CLASSIFIER.format(port=port))
            with daemon:
                yield daemon
        finally:
            redis.terminate()


def test_rspamd_learns_too(rspamd: Rspamd, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    url = f"http://127.0.0.1:{rspamd.controller}"
    controller = Controller(url, tmp_path / "password")
    octets = b"From: a@x.test\r\nMessage-ID: <1@x.test>\r\n\r\n" + b"cheap pills order now limited offer " * 5
    controller.learn(octets, "spam")
    controller.learn(octets, "spam")
    request = urllib.request.Request(f"{url}/stat", headers={"Password": PASSWORD})
    with urllib.request.urlopen(request) as answer:
        assert json.load(answer)["learned"] >= 1
    with pytest.raises(OSError, match="status 401"):
        Controller(url).learn(octets, "ham")


def test_a_controller_that_is_not_there() -> None:
    with pytest.raises(OSError, match="refused"):
        Controller(f"http://127.0.0.1:{free_port()}").learn(b"x", "ham")
