"""What the workers of a running server say of what they measure."""

import os
import signal
from contextlib import ExitStack
from itertools import chain

from engine.cli.workers import asked_of_all, measured
from engine.net.zone import Zone
from engine.runtime.services import MEASURES_SERVICE
from engine.runtime.state import State
from tests.support.background import dns, smtp_server
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until


def numbers(server, name, **labels):
    """The sum of all samples of that name and with those labels, over all workers."""
    running = State(server.folder / "var").running()
    assert running is not None
    return sum(
        value
        for samples in measured(running).values()
        for found, named, value in samples
        if found == name and labels.items() <= dict(named).items()
    )


def test_every_worker_tells_what_passed_its_links_and_stages(tmp_path):
    with Postroad(tmp_path) as server:
        server.account("bob@example.org")
        for number in range(5):
            server.send(letter(f"number {number}"), "bob@example.org")
        server.mail_for("bob@example.org", 5)
        running = State(tmp_path / "var").running()
        # A worker that is late for a question is left out of its answer.
        until(lambda: measured(running).keys() == set(server.workers()), "an answer of every worker")
        for name, expected, labels in (
            ("postroad_stage_messages_total", 5, {"stage": "enqueue", "verdict": "delivered"}),
            ("postroad_stage_messages_total", 5, {"stage": "route", "verdict": "lane"}),
            ("postroad_stage_seconds_count", 5, {"stage": "enqueue"}),
            ("postroad_link_messages_total", 5, {"link": "inbound/queue"}),
            ("postroad_link_depth", 0, {}),
            ("postroad_link_out", 0, {}),
        ):
            until(lambda one=(name, expected, labels): numbers(server, one[0], **one[2]) == one[1], f"{name} {labels}")
        until(lambda: numbers(server, "postroad_link_window", link="inbound/queue") > 0, "a window")


def test_one_that_is_stopped_does_not_keep_the_others_from_answering(tmp_path):
    with Postroad(tmp_path) as server:
        running = State(tmp_path / "var").running()
        os.kill(server.worker("mail-1"), signal.SIGSTOP)
        until(lambda: measured(running).keys() == set(server.workers()) - {"mail-1"}, "an answer of all others")


def test_sites_are_told_with_what_is_no_number(tmp_path):
    with ExitStack() as stack:
        remote = stack.enter_context(
            smtp_server(Remote({"RCPT": ["250 2.1.5 Ok", "450 4.7.1 Too many messages, rate limit exceeded"]}))
        )
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        settings = {
            "dns": {"servers": [address]},
            "stage": {"resolve": {"port": remote.port}, "relay": {"retry": ["1h"], "idle": "1m"}},
        }
        server = stack.enter_context(Postroad(tmp_path, settings))
        server.send(letter("number 0"), "bob@far.test")
        server.wait_for("delivered")
        server.send(letter("number 1"), "bob@far.test")  # over the connection of the first: of two, both would end
        server.wait_for("deferred")
        running = State(tmp_path / "var").running()
        assert running is not None
        told = until(lambda: [*chain(*asked_of_all(running, MEASURES_SERVICE, "sites").values())], "a site")
        [site] = told
        assert "mx.far.test" in site["site"]
        assert site["last_reply"].startswith("450 ")
        assert site["connections"] <= site["limit"]
        assert site.keys() == {
            "site", "source", "connections", "limit", "waiting", "paused_until", "last_reply",
        }  # fmt: skip
        until(lambda: numbers(server, "postroad_replies_total", **{"class": "rate"}) == 1, "its class")
