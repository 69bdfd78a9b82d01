"""bogofilter: words alone, with its own defaults."""

import subprocess
from collections.abc import Sequence
from typing import ClassVar

from bench.spam.corpus import Mail
from bench.spam.filters.base import Filter, mbox


class Bogofilter(Filter):
    name: ClassVar[str] = "bogofilter"
    programs: ClassVar[tuple[str, ...]] = ("bogofilter",)
    cut: ClassVar[float] = 0.99  # spam_cutoff

    def learn(self, mail: Sequence[Mail]) -> None:
        for is_spam in (True, False):
            box = mbox(self.folder / "box", mail, is_spam=is_spam)
            self._run("-M", "-s" if is_spam else "-n", "-I", str(box))

    def score(self, mail: Mail) -> float:
        told = self._run("-T", octets=mail.octets.replace(b"\r\n", b"\n"))
        return float(told.split()[-1])

    def version(self) -> str:
        return self._run("-V").split()[2]

    def _run(self, *arguments: str, octets: bytes = b"") -> str:
        command = ["bogofilter", "-C", "-d", str(self.folder), *arguments]
        done = subprocess.run(command, input=octets, capture_output=True, check=False)
        if done.returncode > 2:
            raise RuntimeError(done.stderr.decode())
        return done.stdout.decode()
