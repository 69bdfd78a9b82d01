"""Mail for the sites, sent into a Postroad by several clients at once."""

import threading
from collections.abc import Sequence

from tests.relay.behaviour import ORIGIN
from tests.support.server import Postroad, letter


def to(name: str, count: int) -> list[list[str]]:
    """The recipients of so many messages for the first site of a behaviour."""
    return [[f"m{number}@{name}-0.{ORIGIN}"] for number in range(count)]


def send(server: Postroad, *messages: Sequence[str], clients: int = 4) -> None:
    """A message for each group of recipients. They have no sender, and so nothing comes back."""
    left = iter(messages)
    lock = threading.Lock()
    broken: list[Exception] = []

    def run() -> None:
        try:
            with server.smtp() as client:
                while True:
                    with lock:
                        recipients = next(left, None)
                    if recipients is None:
                        return
                    client.sendmail("", recipients, letter(f"for {recipients[0]}"))
        except Exception as error:
            broken.append(error)

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not broken
