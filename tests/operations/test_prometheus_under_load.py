"""A real Prometheus watches a server at work, by the files in monitoring/: what it finds, and what it warns of."""

import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.support.programs import marks, path_of
from tests.support.server import PATIENCE, ROOT, free_port, program, until
from tests.support.shift import Shift, on_shift

MONITORING = ROOT / "monitoring"
TOKEN = "a-token-of-measures"
PATIENT = {"server": {"hang": "10m"}}

pytestmark = marks("prometheus", "promtool")


class Watched(NamedTuple):
    shift: Shift
    base: str  # of the HTTP API of Prometheus

    def asked(self, expression: str) -> list[dict[str, Any]]:
        """The answer to an expression, now."""
        answer = httpx2.get(f"{self.base}/api/v1/query", params={"query": expression}, timeout=PATIENCE).json()
        assert answer["status"] == "success", answer
        return list(answer["data"]["result"])

    def value(self, expression: str) -> float:
        return sum(float(one["value"][1]) for one in self.asked(expression))

    def firing(self) -> dict[str, dict[str, Any]]:
        """What it warns of, by the name of the alert."""
        found = httpx2.get(f"{self.base}/api/v1/alerts", timeout=PATIENCE).json()["data"]["alerts"]
        return {one["labels"]["alertname"]: one for one in found if one["state"] == "firing"}


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "token").write_text(f"{TOKEN}\n")
    settings = {"listen": {"metrics": "127.0.0.1:0"}, "metrics": {"token_file": str(folder / "token")}, **PATIENT}
    with ExitStack() as stack:
        shift = stack.enter_context(on_shift(folder / "server", settings))
        port = free_port()
        command = [
            path_of("prometheus"), f"--config.file={configured(folder, shift.server.ports['metrics'])}",
            f"--storage.tsdb.path={folder / 'series'}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]  # fmt: skip
        stack.enter_context(program(command, port))
        watched = Watched(shift, f"http://127.0.0.1:{port}")
        until(lambda: watched.value("count_over_time(up[1h])") >= 3, "a few scrapes")
        yield watched


def configured(folder: Path, port: int) -> Path:
    """What monitoring/ says, with the token that it proposes. Time goes faster: a second for a minute or two. A scrape
    may take longer on a busy machine."""
    text = (MONITORING / "prometheus.yml").read_text().replace("127.0.0.1:9125", f"127.0.0.1:{port}")
    text, found = re.subn(r"# (authorization:).*", rf"\1 {{credentials_file: {folder / 'token'}}}", text)
    assert found == 1
    (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 3s, evaluation_interval: 1s}}\n{text}")
    rules = re.sub(r"^(\s+for:) \d+m$", r"\1 2s", (MONITORING / "alerts.yml").read_text(), flags=re.MULTILINE)
    assert "for: 2s" in rules
    (folder / "alerts.yml").write_text(rules)
    return folder / "prometheus.yml"


def test_it_finds_the_server_and_what_happens(watched: Watched) -> None:
    until(lambda: watched.value('up{job="postroad"}') == 1, "a scrape")
    until(lambda: watched.value("sum(postroad_up)") == len(watched.shift.server.workers()), "each worker in it")
    for outcome in ("delivered", "deferred", "failed"):
        rate = f'sum(rate(postroad_recipients_total{{outcome="{outcome}"}}[30s]))'
        until(lambda rate=rate: watched.value(rate) > 0, f"{outcome} recipients")
    until(lambda: watched.value('sum(postroad_queue_messages{state="waiting"})') > 0, "what is put off to wait")
    until(lambda: watched.value('sum(rate(postroad_commit_size_sum{store=~"queue/.+"}[30s]))') > 0, "commits")


def test_without_the_token_it_finds_nothing(watched: Watched) -> None:
    port = watched.shift.server.ports["metrics"]
    assert httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).status_code == 401


def panels() -> dict[str, list[str]]:
    found = json.loads((MONITORING / "dashboard.json").read_text())["panels"]
    return {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in found if "targets" in panel}


@pytest.mark.parametrize("title", panels())
def test_each_panel_of_the_dashboard_shows_what_is_measured(watched: Watched, title: str) -> None:
    for expression in panels()[title]:
        asked = expression.replace("$__rate_interval", "30s").replace("$instance", ".*")
        names = set(re.findall(r"\bpostroad_\w+", asked))
        shows_trouble = re.search(r" (==|>|<) ", asked)
        if not shows_trouble and all(watched.asked(f"{{__name__={json.dumps(name)}}}") for name in names):
            until(lambda asked=asked: watched.asked(asked), f"something in the panel {title}")
        else:
            watched.asked(asked)  # nothing of the kind has happened, and so it shows nothing


def test_most_panels_have_something(watched: Watched) -> None:
    """So that the test above does not pass for want of anything to show."""

    def shown() -> set[str]:
        return {
            title for title, expressions in panels().items()
            if any(watched.asked(one.replace("$__rate_interval", "30s").replace("$instance", ".*"))
                   for one in expressions)
        }  # fmt: skip

    until(lambda: len(shown()) > len(panels()) / 2, "something in most panels")
    until(
        lambda: {"Messages taken in", "What became of recipients", "Messages in the queue"} <= shown(),
        "something in these",
    )


def test_it_warns_of_a_worker_that_does_not_answer_until_it_does(watched: Watched) -> None:
    until(lambda: not {"PostroadWorkerDown", "PostroadDown"} & watched.firing().keys(), "all to be well")
    pid = watched.shift.server.worker("readers-1")
    os.kill(pid, signal.SIGSTOP)
    try:
        alert = until(lambda: watched.firing().get("PostroadWorkerDown"), "the alert")
        watched.shift.load.flows()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert alert["labels"]["worker"] == "readers-1"
    assert alert["annotations"]["summary"].startswith("readers-1 of 127.0.0.1:")
    assert "readers-1" in alert["annotations"]["runbook"]
    until(lambda: "PostroadWorkerDown" not in watched.firing(), "the end of the alert")
