"""Reloads every second, while mail comes in, goes out and is read, for RELOAD_SECONDS (15 if not said).

`make reload-campaign`. Nothing is lost or doubled, no connection is dropped, and nothing grows.

Edits take turns: harmless ones, changed filters and numbers of their processes, a listener that comes and goes, wrong
ones of all kinds. A filter that nobody edits is opened once in each process, however often all else is changed.
"""

import contextlib
import imaplib
import itertools
import json
import os
import random
import smtplib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

from engine.runtime.ordering import ordered
from engine.runtime.state import Order, Running, State
from tests.crash.crowd import Readers
from tests.crash.system import BOB, FILTER, LANES, Ledger, Load, settle_accounts, verify
from tests.crash.test_soak import CANNOT_OPEN, Headings
from tests.support.remote import Remote
from tests.support.server import PASSWORD, PATIENCE, Postroad, free_port, letter, until

SECONDS = float(os.environ.get("RELOAD_SECONDS") or 15)

EVERY = 1.0
"""Seconds from one reload to the next, if the machine keeps up."""

LONG = 300.0
"""Seconds from which on the growth of memory says more than the noise in it."""

GROWTH = 0.15
"""By which share the memory of all processes may grow between the first fifth of a long run and its end."""

STEADY = '''
"""Notes that it was opened."""
import os
from dataclasses import dataclass
from pathlib import Path
from engine import Message

@dataclass
class Steady:
    async def __aenter__(self) -> "Steady":
        with open(Path(__file__).with_name("openings"), "a") as file:
            file.write(f"{os.getpid()}\\n")
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def __call__(self, message: Message) -> Message:
        return message
'''

WITH_STEADY = {"inbound": {"stages": ["accept", "before", "steady", "queue", "after", "route"]}}


class Clients:
    """Readers by IMAP, who keep their connection, and by POP3, who come again; what goes wrong with them."""

    def __init__(self, server: Postroad) -> None:
        self._server = server
        self._over = threading.Event()
        self.pop3 = Readers(server)
        self.looks = 0
        self.dropped: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(way,)) for way in (self._stay, self._come)]

    @contextlib.contextmanager
    def there(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        yield
        self._over.set()
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive(), "a client never came to its end"

    def _run(self, way: Callable[[], None]) -> None:
        try:
            way()
        except Exception as error:
            self.dropped.append(f"{way.__name__}: {error!r}")

    def _stay(self) -> None:
        with imaplib.IMAP4("127.0.0.1", self._server.ports["imap"], PATIENCE) as client:
            client.login(BOB, PASSWORD)
            client.select("INBOX", readonly=True)
            while not self._over.wait(0.1):
                client.noop()
                assert client.status("INBOX", "(MESSAGES)")[0] == "OK"
                self.looks += 1

    def _come(self) -> None:
        while not self._over.wait(0.2):
            self.pop3.visit()


class Edits:
    """What is done to the configuration, one edit a turn."""

    def __init__(self, server: Postroad, dice: random.Random) -> None:
        self._server = server
        self._dice = dice
        self._notes = itertools.count()
        self._taken = socket.create_server(("127.0.0.1", 0))
        self._port = free_port()
        self._by_the_other_door: smtplib.SMTP | None = None

    def turns(self) -> Iterator[Callable[[], bool]]:
        """Each changes something, and says whether that is to be in force then."""
        good = (self.harmless, self.another_code, self.open_listener, self.other_workers, self.close_listener)
        wrong = itertools.cycle((self.no_toml, self.unknown_key, self.cannot_open, self.port_in_use))
        for edit in itertools.cycle(good):
            yield edit
            yield next(wrong)

    def harmless(self) -> bool:
        self._server.change({"queue": {"delay_warning": f"{self._dice.randrange(1, 9)}h"}})
        return True

    def another_code(self) -> bool:
        name = self._dice.choice(["before", "after"])
        self._server.filter(name, FILTER.format(name=name) + f"NOTE = {next(self._notes)}\n")
        return True

    def other_workers(self) -> bool:
        self._server.change({"stage": {"before": {"workers": self._dice.choice([0, 1, 2, 3])}}})
        return True

    def open_listener(self) -> bool:
        at = f"127.0.0.1:{self._port}"
        self._server.change({"lane": {"inbound": {"listen": ["smtp", "submission"]}}, "listen": {"submission": at}})
        return True

    def close_listener(self) -> bool:
        """Somebody is still connected to it."""
        self._server.ports["submission"] = self._port
        self._by_the_other_door = self._server.smtp("submission")
        self._send_by_the_other_door()
        self._server.change({"lane": {"inbound": {"listen": ["smtp"]}}, "listen": {"submission": None}})
        return True

    def _send_by_the_other_door(self) -> None:
        assert self._by_the_other_door is not None
        self._by_the_other_door.sendmail("ann@example.net", [BOB], letter("by another door"))

    def after(self) -> None:
        """What there is to be done once a reload is over."""
        if self._by_the_other_door is not None:
            self._send_by_the_other_door()
            self._by_the_other_door.quit()
            self._by_the_other_door = None

    def no_toml(self) -> bool:
        self._server.write("[server\n")
        return False

    def unknown_key(self) -> bool:
        self._server.write(self._server.config.read_text().replace("hostname", "hostnam"))
        return False

    def cannot_open(self) -> bool:
        self._server.filter("after", CANNOT_OPEN)
        return False

    def port_in_use(self) -> bool:
        text = self._server.config.read_text()
        at = f"127.0.0.1:{self._taken.getsockname()[1]}"
        self._server.write(text.replace('pop3 = "127.0.0.1:0"', f'pop3 = "{at}"'))
        return False

    def mended(self) -> None:
        """After one that was wrong."""
        self._server.change({})
        self._server.filter("after", FILTER.format(name="after") + f"NOTE = {next(self._notes)}\n")

    def close(self) -> None:
        self._taken.close()


def reloaded(server: Postroad) -> Running:
    """What the server says to it, asked without the time that a command takes to load."""
    return ordered(server.folder / "var", Order("the campaign"), PATIENCE)


class Campaign:
    """The reloads of one run."""

    def __init__(self, server: Postroad) -> None:
        self._server = server
        seed = int(os.environ.get("POSTROAD_SEED") or time.time())
        print(f"POSTROAD_SEED={seed}")
        self.edits = Edits(server, random.Random(seed))
        self.turns = self.edits.turns()
        self.happened: Counter[str] = Counter()
        self.waits: list[float] = []

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (began := time.monotonic()) < end:
            edit = next(self.turns)
            self._once(edit)
            time.sleep(max(began + EVERY - time.monotonic(), 0))

    def _once(self, edit: Callable[[], bool]) -> None:
        before = State(self._server.folder / "var").running()
        assert before is not None
        is_good = edit()
        began = time.monotonic()
        said = reloaded(self._server)
        self.waits.append(time.monotonic() - began)
        assert bool(said.error) != is_good, (edit.__name__, said.error)
        if is_good:
            self.edits.after()
        else:
            assert said.revision == before.revision
            self.edits.mended()
        self.happened[edit.__name__.replace("_", " ")] += 1

    def told(self) -> str:
        waits = sorted(self.waits)
        return (
            f"{self.happened.total()} reloads: {dict(self.happened)}; the median took {waits[len(waits) // 2]:.3f} s, "
            f"the longest {waits[-1]:.3f} s"
        )


def descriptors(server: Postroad) -> dict[str, int]:
    """Of each process that is always there."""
    pids = {"supervisor": server.pid, **server.workers()}
    pids = {name: pid for name, pid in pids.items() if not name.startswith("before")}
    return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in pids.items()}


def at_rest(server: Postroad) -> tuple[dict[str, int], int]:
    """Descriptors by process, and the memory of all, when the last revision but one is closed everywhere."""
    server.change({"stage": {"before": {"workers": 2}}})
    number = reloaded(server).revision
    until(lambda: {"before-0", "before-1"} <= set(server.workers()), "the usual processes")
    until(lambda: len(server.workers()) == _USUAL, "no others")
    until(lambda: _open_ends(server) == 1, f"all revisions but {number} to be closed")
    return descriptors(server), server.anonymous_memory()


_USUAL = 2 + 2 + 2 + 2 + 1 + 1 + 1
"""Processes: mail, readers, before, after, relay, mailboxes, index."""


def _open_ends(server: Postroad) -> int:
    """Revisions that mail-0 has open: each has an end of its own for every leg."""
    running = State(server.folder / "var").running()
    assert running is not None
    ends = [name for name in os.listdir(running.folder) if name.startswith("mail-0.")]
    listening = {path.rsplit(".", 1)[1] for path in ends if _is_bound(f"{running.folder}/{path}")}
    return len(listening - {"0"})


def _is_bound(path: str) -> bool:
    """Whether a process listens at that path."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def test_nothing_is_lost_doubled_dropped_or_grows_with_a_reload_every_second(
    prepared: Postroad, remote: Remote
) -> None:
    remote.received = Headings()
    prepared.filter("steady", STEADY)
    prepared.change(
        {
            "lane": {**LANES, **WITH_STEADY},
            "listen": {"imap": "127.0.0.1:0"},
            "mailboxes": {"keep_expunged": "0s"},
            "stage": {"steady": {"use": "filters/steady.py"}, "relay": {"idle": "2s"}},
        }
    )
    server = prepared.start()
    ledger, clients, campaign = Ledger(), Clients(server), Campaign(server)
    load = Load(server, 0, ledger, pause=0.2, stay=10**9)
    with clients.there():
        load.start()
        campaign.run(SECONDS / 5)
        before, memory = at_rest(server)
        campaign.run(SECONDS * 4 / 5)
        load.stop()
        print(campaign.told())
        settle_accounts(server, remote, ledger, crashes=0, again=False, bobs=clients.pop3.tokens)
        after, memory_after = at_rest(server)
    campaign.edits.close()
    verify(server)
    print(f"{len(ledger.answered)} messages; {clients.looks} looks by IMAP; descriptors {before} → {after}; "
          f"{memory / 1e6:.1f} → {memory_after / 1e6:.1f} MB")  # fmt: skip
    assert (load.broken, clients.dropped) == ([], [])
    assert (server.all("worker-died"), server.all("bug"), server.all("went-back")) == ([], [], [])
    opened = Counter((server.folder / "filters" / "openings").read_text().split())
    mail = {str(pid) for name, pid in server.workers().items() if name.startswith("mail-")}
    assert opened == dict.fromkeys(mail, 1)
    assert {name: count - before[name] for name, count in after.items() if count > before[name] + 5} == {}
    assert SECONDS < LONG or memory_after < memory * (1 + GROWTH)
    rows = json.loads(server.command("revision", "list", "--json").stdout)
    assert len(rows) <= 100
    assert rows[-1]["by"] == "the campaign"
