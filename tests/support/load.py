"""Clients that keep sending while something is done to the server, and remember what they were told."""

import smtplib
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from tests.support.server import Postroad, letter, until


class Load:
    """Each client keeps one connection for as long as the block lasts. What it cannot explain is in ``broken``."""

    def __init__(self, server: Postroad, recipient: str, clients: int = 4, pause: float = 0.005) -> None:
        self.server = server
        self.recipient = recipient
        self.accepted: list[str] = []  # subjects, in the order of the answers
        self.refused: list[str] = []  # 5xx
        self.put_off: list[str] = []  # 4xx
        self.broken: list[BaseException] = []
        self.slowest = 0.0  # seconds that a message took at most, from MAIL to its answer
        self._pause = pause
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.flows()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def flows(self) -> None:
        """Wait until every client has had some more answers."""
        before = self._answers()
        until(lambda: self.broken or self._answers() >= before + 5 * len(self._threads), "answers to the load")
        assert self.broken == []

    def _answers(self) -> int:
        return len(self.accepted) + len(self.refused) + len(self.put_off)

    def _client(self, number: int) -> None:
        try:
            with self.server.smtp() as connection:
                count = 0
                while not self._over.is_set():
                    subject, count = f"load-{number}-{count}", count + 1
                    self._send(connection, subject)
                    time.sleep(self._pause)
        except BaseException as error:
            self.broken.append(error)

    def _send(self, connection: smtplib.SMTP, subject: str) -> None:
        began = time.monotonic()
        try:
            connection.sendmail("ann@example.net", [self.recipient], letter(subject))
        except smtplib.SMTPDataError as error:
            (self.put_off if error.smtp_code < 500 else self.refused).append(subject)
        else:
            self.accepted.append(subject)
        self.slowest = max(self.slowest, time.monotonic() - began)


def subjects(messages: Iterable[bytes]) -> list[str]:
    """The Subject of each message."""
    return [
        message.partition(b"\r\nSubject: ")[2].partition(b"\r\n")[0].decode("utf-8", "replace") for message in messages
    ]
