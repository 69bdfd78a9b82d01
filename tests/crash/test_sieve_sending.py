"""Die at each step of an answer, of a redirected copy and of a sorted delivery: each is there once."""

from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.crash.points import Point, environment, points
from tests.crash.system import verify
from tests.support.background import dns, smtp_server
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

ANN, SUE, STRANGER = "ann@example.org", "sue@far.test", "127.0.0.9"

SCRIPT = """\
require ["vacation", "fileinto", "copy"];
vacation "away";
redirect :copy "bob@far.test";
"""
OWNER, WRITER = "engine.queue.owner", "engine.storage.writer"
STEPS = {
    "sorted, not delivered": Point("mailboxes", "engine.sorting.sorter", "Sorter._sort", count=1),
    "before the commit of the delivery": Point("mailboxes", "engine.mailbox.deliver", "Deliver.__call__", count=1),
    "delivered, the queue not told": Point("mailboxes", "stages.enqueue", "Enqueue._verdict", count=1),
    "the queue told": Point("mailboxes", "engine.links.host", "Host._answer", count=1),
    "all done, not settled": Point("mail-", OWNER, "Owner.settle", "before", count=1),
    "what is sent has an id, and is not stored": Point("mail-", OWNER, "Owner._descendants", count=1),
    "stored, and not given out": Point("mail-", OWNER, "Owner._settled", "before", count=1),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("point", points(STEPS, every=2))
def test_everything_is_sent_once(tmp_path: Path, point: Point, large: bool) -> None:
    died = tmp_path / "died"
    with (
        dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})) as address,
        smtp_server(Remote()) as remote,
    ):
        settings = {
            "dns": {"servers": [address]},
            "stage": {"accept": {"relay_networks": ["127.0.0.1"]}, "resolve": {"port": remote.port}},
        }
        server = Postroad(tmp_path, settings).account(ANN)
        (tmp_path / "main.sieve").write_text(SCRIPT)
        assert server.command("sieve", "put", ANN, str(tmp_path / "main.sieve"), "--activate").returncode == 0
        server.environment.update(environment(point, died))
        with server:
            body = "x\r\n" * (100_000 if large else 1)
            text = letter("hello", body).replace(b"Subject:", b"To: ann@example.org\r\nSubject:", 1)
            with server.dialogue(STRANGER) as client:
                client.start(ANN, sender=SUE).content(text)
            until(died.exists, "the death of a process")
            until(lambda: len(remote.received) >= 2, "the answer and the copy")
            server.mail_for(ANN)
            until(lambda: len(server.all("delivered")) >= 3 or None, "the end of all")
            assert sorted(one.recipients for one in remote.received) == [("bob@far.test",), (SUE,)]
            assert len(server.mailbox(ANN)) == 1
        verify(server)
