"""What the workers of a running server say of what they measure."""

import os
import signal

from engine.cli.workers import measured
from engine.runtime.state import State
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
        assert measured(running).keys() == set(server.workers())
        until(
            lambda: numbers(server, "postroad_stage_messages_total", stage="enqueue", verdict="delivered") == 5, "five"
        )
        assert numbers(server, "postroad_stage_messages_total", stage="route", verdict="lane") == 5
        assert numbers(server, "postroad_stage_seconds_count", stage="enqueue") == 5
        assert numbers(server, "postroad_link_messages_total", link="inbound/queue") == 5
        assert numbers(server, "postroad_link_depth") == numbers(server, "postroad_link_out") == 0
        assert numbers(server, "postroad_link_window", link="inbound/queue") > 0


def test_one_that_is_stopped_does_not_keep_the_others_from_answering(tmp_path):
    with Postroad(tmp_path) as server:
        running = State(tmp_path / "var").running()
        os.kill(server.workers()["mail-1"], signal.SIGSTOP)
        assert measured(running).keys() == set(server.workers()) - {"mail-1"}
