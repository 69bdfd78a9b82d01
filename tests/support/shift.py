"""A server while mail flows in, out and back all the time, for what an operator does meanwhile."""

import contextlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.load import Load, subjects
from tests.support.remote import Remote
from tests.support.server import Postroad, Settings, letter, merged, until

ANN, BOB, FAR, SLOW, GONE = "ann@example.net", "bob@example.org", "fay@far.test", "slow@far.test", "gone@far.test"
SCRIPT = {f"RCPT {GONE}": "550 5.1.1 User unknown", f"RCPT {SLOW}": "450 4.2.1 Come again"}


class Shift(NamedTuple):
    server: Postroad
    load: Load

    def send(self, subject: str, to: str, sender: str = ANN) -> str:
        """Send a message; its id."""
        with self.server.smtp() as client:
            client.ehlo()
            client.mail(sender)
            client.rcpt(to)
            code, said = client.data(f"Message-ID: <{subject}@mua.test>\r\n".encode() + letter(subject))
        assert code == 250
        return said.decode().rpartition(" ")[2]

    def run(self, *command: str) -> str:
        """What a command says that ends well."""
        done = self.server.command(*command)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextlib.contextmanager
def on_shift(
    folder: Path, settings: Settings, *, remote: Remote | None = None, starter: tuple[str, ...] = (), **filters: str
) -> Iterator[Shift]:
    """A server with Bob's mailbox under load; far.test is served by ``remote``. ``filters``: name → source.

    At the end all of the load has been taken, and is in that mailbox.
    """
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        next_server = stack.enter_context(smtp_server(remote or Remote(script=SCRIPT)))
        outside: dict[str, Any] = {
            "dns": {"servers": [address]},
            "stage": {"resolve": {"port": next_server.port}, "relay": {"retry": ["1h"]}},
        }
        server = Postroad(folder, merged(outside, settings), **filters).account(BOB)
        server.starter = starter
        stack.enter_context(server)
        with Load(server, BOB, clients=3, pause=0.02) as load, outgoing(server):
            yield Shift(server, load)
            load.flows()
        assert (load.broken, load.refused) == ([], [])

        def arrived() -> list[str]:
            return [one for one in subjects(server.mailbox(BOB)) if one.startswith("load-")]

        until(lambda: len(arrived()) >= len(load.accepted), "all of the load")
        assert sorted(arrived()) == sorted(load.accepted)


@contextlib.contextmanager
def outgoing(server: Postroad) -> Iterator[None]:
    """Mail that leaves all the time, too: some is taken, some put off, some refused."""
    over = threading.Event()

    def send() -> None:
        with server.smtp() as client:
            for number, to in enumerate([FAR, SLOW, FAR, GONE] * 10_000):
                if over.wait(0.1):
                    return
                client.sendmail(ANN, [to], letter(f"out-{number}"))

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)
