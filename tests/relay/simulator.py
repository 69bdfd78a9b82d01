"""The simulator beside a test: its process, the DNS of its sites, and what it tells."""

import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from bench.servers.base import free_port
from tests.relay.behaviour import NETWORK, Table
from tests.relay.tally import Seen
from tests.support.background import dns
from tests.support.server import ROOT


class Simulator:
    """A running one. ``dns`` is the address of the server that knows the sites, ``port`` that of all their hosts."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, address: str, authority: Path) -> None:
        self._process = process
        self.port = port
        self.dns = address
        self.authority = authority

    def settings(self, **relay: Any) -> dict[str, Any]:
        """What pipeline.toml needs so that mail goes to the sites. ``retry`` holds after every reply."""
        if "retry" in relay:
            special = dict.fromkeys(("retry_greylisted", "retry_full", "retry_patient"), relay["retry"])
            relay = {**special, **relay}
        return {
            "dns": {"servers": [self.dns]},
            "stage": {"resolve": {"port": self.port}, "relay": {"allow_networks": [NETWORK], **relay}},
        }

    def report(self, name: str = "") -> dict[str, Seen]:
        """The tallies of a behaviour's sites, or of all."""
        found: dict[str, Seen] = msgspec.convert(self._ask({"report": name} if name else "report"), dict[str, Seen])
        return found

    def seen(self, name: str) -> Seen:
        """The tally of a behaviour that has one site."""
        (found,) = self.report(name).values()
        return found

    def arrived(self, name: str = "") -> Counter[str]:
        """How often each recipient got a message."""
        return sum((seen.arrived for seen in self.report(name).values()), Counter())

    def change(self, name: str, **changes: Any) -> None:
        self._ask({"change": name, "by": changes})

    def forget(self) -> None:
        self._ask("forget")

    def _ask(self, order: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(json.dumps(order).encode() + b"\n")
        stdin.flush()
        return _answer(stdout)


def _answer(stdout: IO[bytes]) -> Any:
    answer = json.loads(stdout.readline() or '{"error": "the simulator has ended"}')
    assert not (isinstance(answer, dict) and "error" in answer), answer
    return answer


@contextlib.contextmanager
def simulated(folder: Path, *site: Mapping[str, Any]) -> Iterator[Simulator]:
    """Sites with these behaviours. ``folder`` is for the table and the certificate of the authority."""
    table, port = Table.of(*site), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    written, authority = folder / "sites.json", folder / "authority.pem"
    written.write_bytes(msgspec.json.encode({"site": site}))
    command = [sys.executable, "-m", "tests.relay.sites", "--port", str(port), "--authority", str(authority)]
    with dns(table.zone()) as address:
        process = subprocess.Popen(
            [*command, str(written)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )  # fmt: skip
        with process:
            assert process.stdout is not None
            assert process.stdin is not None
            try:
                assert _answer(process.stdout)["port"] == port
                yield Simulator(process, port, address, authority)
            finally:
                process.stdin.close()
                process.wait(30)
