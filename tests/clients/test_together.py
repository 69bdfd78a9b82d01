"""Several programs at one mailbox while mail arrives: nothing is lost, nothing doubled, and all agree at the end."""

import contextlib
import imaplib
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import imapclient

from tests.support.maildir import Copy, mbsync
from tests.support.programs import needs
from tests.support.reading import good, held
from tests.support.server import PASSWORD, PATIENCE, Postroad, letter, until

MESSAGES = 40


class Listener:
    """What a client that does nothing but idle believes: the flags of each message by its number; None: not told."""

    def __init__(self, client: imapclient.IMAPClient) -> None:
        self.client = client
        self.flags: list[set[bytes] | None] = [None] * client.select_folder("INBOX")[b"EXISTS"]

    def listen(self, ended: threading.Event) -> None:
        while not ended.is_set():
            self.client.idle()
            for _ in range(5):
                for response in self.client.idle_check(0.2):
                    self.take(response)
            for response in self.client.idle_done()[1]:
                self.take(response)

    def take(self, response: tuple[object, ...]) -> None:
        match response:
            case (int(count), b"EXISTS"):
                assert count >= len(self.flags)
                self.flags += [None] * (count - len(self.flags))
            case (int(number), b"EXPUNGE"):
                del self.flags[number - 1]
            case (int(number), b"FETCH", (*_, b"FLAGS", flags)) | (int(number), b"FETCH", (b"FLAGS", flags, *_)):
                self.flags[number - 1] = set(flags) if isinstance(flags, tuple) else set()


class Sorter:
    """A client that files and flags what has come, by the numbers in the subjects."""

    def __init__(self, client: imapclient.IMAPClient) -> None:
        self.client = client

    def sort(self, ended: threading.Event) -> None:
        while not ended.wait(0.05):
            self.pass_over()

    def pass_over(self) -> None:
        self.client.select_folder("INBOX")
        found = self.client.fetch(self.client.search("UNKEYWORD sorted"), ["ENVELOPE"])
        for uid, data in found.items():
            number = number_in(data[b"ENVELOPE"].subject.decode()) if b"ENVELOPE" in data else 0
            self.client.add_flags([uid], ["sorted", *([imapclient.FLAGGED] if number % 4 == 1 else [])])
            if number and number % 4 == 0:
                self.client.move([uid], "Archive")


def number_in(subject: str) -> int:
    found = re.fullmatch(r"number (\d+)", subject)
    return int(found[1]) if found else 0


def sync_and_tidy(copy: Copy, sync: Callable[[], str], ended: threading.Event) -> None:
    """Between two calls of mbsync somebody reads some of the copies, and removes others."""
    known: set[int] = set()
    while not ended.is_set():
        sync()
        for subject, _ in copy.held("INBOX"):
            number = number_in(subject)
            if number in known:
                continue
            if number % 4 == 2:
                copy.flag("INBOX", subject, "S")
                known.add(number)
            if number % 8 == 3:
                copy.remove("INBOX", subject)
                known.add(number)


@contextlib.contextmanager
def meanwhile(*workers: Callable[[threading.Event], None]) -> Iterator[None]:
    """Each runs in a thread of its own until the event at the end of the context; none may fail."""
    ended, failures = threading.Event(), []

    def work(worker: Callable[[threading.Event], None]) -> None:
        try:
            worker(ended)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert not failures, failures


@needs("mbsync")
def test_three_clients_while_mail_arrives(
    post_office: Postroad, bob: str, elsewhere: imaplib.IMAP4, authority: Path, tmp_path: Path
) -> None:
    copy = Copy(tmp_path / "copy")
    sync = mbsync(post_office, bob, authority, copy)
    context = ssl.create_default_context(cafile=str(authority))

    def client() -> imapclient.IMAPClient:
        found = imapclient.IMAPClient("localhost", post_office.ports["imaps"], ssl_context=context, timeout=PATIENCE)
        found.login(bob, PASSWORD)
        return found

    with client() as idling, client() as sorting:
        listener, sorter = Listener(idling), Sorter(sorting)
        with meanwhile(listener.listen, sorter.sort, lambda ended: sync_and_tidy(copy, sync, ended)):
            for number in range(1, MESSAGES + 1):
                post_office.send(letter(f"number {number}"), bob)
            until(lambda: len(post_office.all("delivered", to=bob)) == MESSAGES + 2, "all mail")
            until(lambda: tidy(elsewhere), "all that is to be done with it", 4 * PATIENCE)
        sync()
        inbox = [("first", ""), ("second", "")] + [
            (f"number {number}", {1: r"\Flagged", 2: r"\Seen"}.get(number % 4, ""))
            for number in range(1, MESSAGES + 1)
            if number % 4 and number % 8 != 3
        ]
        archive = [(f"number {number}", "") for number in range(4, MESSAGES + 1, 4)]
        both = {"INBOX": sorted(inbox), "Archive": sorted(archive)}
        assert {name: copy.held(name) for name in both} == both
        assert {name: without_keywords(held(elsewhere, name)) for name in both} == both

        for response in good_noop(idling):
            listener.take(response)
        now = {number: set(data[b"FLAGS"]) for number, data in flags_of(idling).items()}
        assert len(listener.flags) == len(now) == len(inbox)
        told = {number: flags for number, flags in enumerate(listener.flags, 1) if flags is not None}
        assert told == {number: now[number] for number in told}
        assert told  # not of all: what was sorted before it was announced has had its flags from the beginning


def tidy(elsewhere: imaplib.IMAP4) -> bool:
    """Whether each message is where it belongs, with its flags."""
    good(elsewhere.select(readonly=True))
    found = [good(elsewhere.search(None, key))[0].split() for key in ("ALL", "UNKEYWORD sorted", "SEEN", "FLAGGED")]
    rest = MESSAGES - MESSAGES // 4 - MESSAGES // 8
    return [len(numbers) for numbers in found] == [rest + 2, 0, MESSAGES // 4, MESSAGES // 4]


def without_keywords(messages: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(subject, " ".join(flag for flag in flags.split() if flag.startswith("\\"))) for subject, flags in messages]


def good_noop(client: imapclient.IMAPClient) -> list[tuple[object, ...]]:
    return list(client.noop()[1])


def flags_of(client: imapclient.IMAPClient) -> dict[int, dict[bytes, tuple[bytes, ...]]]:
    """By message numbers."""
    client.use_uid = False
    return dict(client.fetch(client.search(), ["FLAGS"]))
