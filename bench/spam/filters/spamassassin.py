"""SpamAssassin: spamd with its local tests, with and without what it has learnt. No test asks the network."""

import re
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

from bench.spam.corpus import Mail
from bench.spam.filters.base import Filter, free_port, mbox, until

_ETC = Path("/etc/spamassassin")
_SCORE = re.compile(rb"^Spam: \w+ ; (-?[\d.]+) /", re.MULTILINE)


class SpamAssassin(Filter):
    name: ClassVar[str] = "spamassassin"
    programs: ClassVar[tuple[str, ...]] = ("spamd", "sa-learn")
    cut: ClassVar[float] = 5.0

    def __enter__(self) -> Self:
        self._site = self.folder / "site"  # its own settings and no others; the rules are those of the package
        self._site.mkdir()
        for path in _ETC.glob("*.pre"):
            (self._site / path.name).write_bytes(path.read_bytes())
        learning = (
            f"use_bayes {int(self.learns)}\nbayes_path {self.folder}/bayes\nbayes_file_mode 0777\nbayes_auto_learn 0\n"
        )
        (self._site / "local.cf").write_text(learning)
        self._port = free_port()
        command = ["spamd", "-L", "-x", "-m", "1", "--min-children=1", "-i", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(
            [*command, "--siteconfigpath", str(self._site), "-s", str(self.folder / "log")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(lambda: socket.create_connection(("127.0.0.1", self._port), timeout=1).close(), self.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def learn(self, mail: Sequence[Mail]) -> None:
        for is_spam in (True, False):
            box = mbox(self.folder / "box", mail, is_spam=is_spam)
            kind = "--spam" if is_spam else "--ham"
            command = ["sa-learn", "-L", "--siteconfigpath", str(self._site), kind, "--mbox", str(box)]
            subprocess.run(command, check=True, capture_output=True)

    def score(self, mail: Mail) -> float:
        with socket.create_connection(("127.0.0.1", self._port), timeout=120) as connection:
            connection.sendall(b"SYMBOLS SPAMC/1.5\r\nContent-length: %d\r\n\r\n" % len(mail.octets) + mail.octets)
            connection.shutdown(socket.SHUT_WR)
            told = b""
            while octets := connection.recv(65536):
                told += octets
        match = _SCORE.search(told)
        if match is None:
            raise RuntimeError(f"spamd answered {told[:200]!r}")
        return float(match[1])

    def version(self) -> str:
        told = subprocess.run(["spamd", "--version"], capture_output=True, text=True, check=True).stdout
        return told.split()[3]


class SpamAssassinRules(SpamAssassin):
    """As it is before it has learnt anything."""

    name: ClassVar[str] = "spamassassin, rules alone"
    learns: ClassVar[bool] = False
