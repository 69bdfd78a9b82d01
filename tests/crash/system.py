"""A server with filters in processes of their own, clients that never give up, and the books that are kept of both."""

import itertools
import os
import random
import re
import smtplib
import threading
import time
from collections import Counter
from collections.abc import Callable

from tests.support.dice import seeded
from tests.support.remote import Remote
from tests.support.server import Postroad, letter, until

CLIENTS, MESSAGES = 20, 200
BOB, FAR = "bob@example.org", "bob@remote.test"
NOBODY = "nobody@remote.test"
"""Refused by its server: mail from Bob to it comes back to him as a report."""

KINDS = [(BOB,), (FAR,), (BOB, FAR), (NOBODY,)]
LARGE = 200_000
"""Octets of text of one message in eight: more than the queue and the mailboxes keep in their databases."""

FILTER = '''
"""Takes a moment, so that there is always something in hand."""
import random
import trio
from engine import Message

async def {name}(message: Message) -> Message:
    await trio.sleep(random.random() / 50)
    return message.with_fact("{name}.seen", True)
'''

EVERY = "CRASH_SECONDS" in os.environ
"""Whether to try all that can be tried (`make crash`), or some of each kind."""

LANES = {
    "inbound": {"stages": ["accept", "before", "queue", "after", "route"]},
    "local": {"stages": ["enqueue"]},
    "remote": {"stages": ["resolve", "relay"]},
}
OF_EACH_KIND = ["mail-0", "mailboxes", "readers-0", "before-0", "relay-0"]
"""A worker of each kind."""

WORKERS = ["mail-0", "mail-1", "mailboxes", "readers-0", "readers-1", "before-0", "after-1", "relay-0"]


class Ledger:
    """What clients sent, and what they were told. Every try is a message of its own, told apart by its token."""

    def __init__(self) -> None:
        self.answered: dict[str, tuple[str, ...]] = {}  # token → recipients
        self.waits: list[float] = []  # seconds until a reply to a message, whatever it was
        self.tries = 0
        self._numbers = itertools.count()
        self._lock = threading.Lock()

    def token(self) -> str:
        with self._lock:
            self.tries += 1
            return f"token-{next(self._numbers)}-"

    def told_waits(self) -> str:
        """How long clients waited for replies."""
        waits = sorted(self.waits)
        half, most = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
        return f"replies to clean mail took {half:.3f} s in the median, {most:.3f} s at p99, {waits[-1]:.3f} s at most"

    def expected(self, recipient: str) -> set[str]:
        """Tokens of what must arrive there; Bob gets reports too, which hold the subject of what they are about."""
        wanted = {recipient, NOBODY} if recipient == BOB else {recipient}
        return {token for token, recipients in self.answered.items() if wanted & {*recipients}}


class Load:
    """Clients that send without a pause until so many messages were answered 250, whatever happens meanwhile.

    With ``messages`` 0 they send until they are told to ``stop``. ``pause``: seconds between two messages of a client,
    about; ``stay``: messages for which it keeps a connection.
    """

    def __init__(
        self,
        server: Postroad,
        messages: int = MESSAGES,
        ledger: Ledger | None = None,
        *,
        pause: float = 0.0,
        stay: int = MESSAGES,
        clients: int = CLIENTS,
    ) -> None:
        self.server = server
        self.ledger = ledger or Ledger()
        self._pause, self._stay = pause, stay
        self.broken: list[str] = []  # connections that the server let go of
        self._each = messages // clients
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(clients)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(300)
            assert not thread.is_alive(), "a client never came to its end"

    def stop(self) -> None:
        """Send no more."""
        self._over.set()
        self.wait()

    def until_answered(self, count: int) -> None:
        until(lambda: len(self.ledger.answered) >= count, f"{count} answers")

    def _client(self, number: int) -> None:
        open_connection: smtplib.SMTP | None = None
        left = self._each
        while not self._over.is_set() and (left or not self._each):
            recipients = KINDS[(number + left) % len(KINDS)]
            size = LARGE if (number * 3 + left) % 8 == 0 else random.randrange(9000)
            token, began = self.ledger.token(), time.monotonic()
            try:
                if open_connection is None:
                    open_connection = self.server.smtp()
                open_connection.sendmail(BOB, recipients, letter(token, "line\r\n" * (size // 6)))
            except smtplib.SMTPResponseException:
                self.ledger.waits.append(time.monotonic() - began)
                time.sleep(0.05)  # put off: come again, on the same connection
            except (OSError, smtplib.SMTPException) as error:
                self.broken.append(repr(error))
                open_connection = None
                time.sleep(0.05)
            else:
                self.ledger.waits.append(time.monotonic() - began)
                self.ledger.answered[token] = recipients
                left -= 1
                if left % self._stay == 0:
                    open_connection.close()
                    open_connection = None
                time.sleep(self._pause * 2 * random.random())
        if open_connection is not None:
            open_connection.close()


def tokens(messages: list[bytes]) -> Counter[str]:
    return Counter(found[1].decode() for m in messages if (found := re.search(rb"^Subject: (token-\d+-)", m, re.M)))


def moment() -> tuple[int, float]:
    """How many answers to wait for, and how much longer."""
    dice = seeded()
    return dice.randrange(10, 150), dice.random() / 20


def verify(server: Postroad) -> None:
    """The queue agrees with itself."""
    done = server.command("queue", "verify")
    assert done.returncode == 0, done.stderr


def reasons(server: Postroad) -> int:
    """For which a message may be sent again: a worker that died, an outcome that could not be stored."""
    return len(server.all("worker-died")) + len(server.all("queue-failed"))


def _is_taken(server: Postroad, content: bytes) -> bool:
    """Whether it was; a filter that has just been started may put it off."""
    try:
        server.send(content, BOB, FAR)
    except smtplib.SMTPDataError as error:
        if error.smtp_code >= 500:
            raise
        return False
    return True


def settle_accounts(
    server: Postroad,
    remote: Remote,
    ledger: Ledger,
    crashes: int = 1,
    *,
    again: bool = True,
    bobs: Callable[[], Counter[str]] | None = None,
) -> None:
    """Every message that was answered has arrived; the local ones once, and if ``again`` after another restart too.

    ``bobs``: tokens of all that Bob ever had, if that is more than what is in his mailbox.
    """
    read_whole = bobs or (lambda: tokens(server.mailbox(BOB)))
    bobs = bobs or (lambda: tokens(server.mailbox(BOB, lines=100)))  # a bounce has its token there too
    until(lambda: ledger.expected(FAR) <= set(tokens([r.content for r in remote.received])), "relayed messages")
    until(lambda: ledger.expected(BOB) <= set(bobs()), "local messages")
    if again:
        assert server.stop() == 0
        server.start()
    until(lambda: _is_taken(server, letter("token-999999-")), "a message to be taken after the restart")
    until(lambda: bobs()["token-999999-"], "a message after the restart")
    until(lambda: tokens([r.content for r in remote.received])["token-999999-"], "a message after the restart")
    local, relayed = read_whole(), tokens([r.content for r in remote.received])
    assert ledger.expected(BOB) <= set(local)
    assert [token for token, count in local.items() if count > 1] == []
    repeated = {token: count for token, count in relayed.items() if count > 1}
    print(
        f"{ledger.tries} tries, {len(ledger.answered)} answered; {len(local)} local, {len(relayed)} relayed, "
        f"of these {len(repeated)} more than once"
    )
    assert max(repeated.values(), default=1) <= 1 + crashes  # each is one reason to send it again
    assert server.all("quarantined") == []
