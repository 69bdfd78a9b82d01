"""What the demo shows: colours on a terminal, the same words without them elsewhere."""

import time
from collections.abc import Sequence
from email.message import EmailMessage

from rich.console import Console
from rich.padding import Padding
from rich.status import Status
from rich.table import Table
from rich.text import Text

from engine.cli.demo.letters import ANNA, Letter, attachment, sender
from engine.cli.demo.sites import HOST, Site
from engine.cli.demo.ways import Way

_COLOURS = {
    "pass": "green",
    "changed": "green",
    "lane": "green",
    "each": "green",
    "delivered": "green",
    "on": "green",
    "a": "yellow",
    "reject": "yellow",
}
"""The first word of a verdict → its colour."""


class Screen:
    """Prints to standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=False)
        self._status: Status | None = None
        self._began = time.monotonic()

    def busy(self, text: str) -> None:
        """What is being waited for; a line that goes away, and only on a terminal."""
        if self._console.is_terminal:
            self.idle()
            self._status = self._console.status(f"{text} …")
            self._status.start()

    def idle(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def title(self) -> None:
        self._console.print(Text(f"Two mail servers on {HOST}, and the way of five messages\n", "bold"))

    def sites(self, here: Site, there: Site) -> None:
        self.idle()
        table = _grid(10, 40, 24)
        for site, what in ((here, "mail starts here"), (there, "the next server")):
            names = " and ".join(address.partition("@")[0] for address in site.people)
            ports = _dim(f"SMTP {site.smtp}, POP3 {site.pop3}")
            table.add_row(Text(site.domain, "cyan"), f"{what}; home of {names}", ports)
        table.add_row(Text("DNS", "cyan"), "knows the mail server of each", _dim(f"UDP {here.dns.partition(':')[2]}"))
        self._print(table)

    def letter(self, number: int, letter: Letter, way: Way) -> None:
        self.idle()
        self._console.print(Text.assemble((f"\n{number}  {letter.title}", "bold")))
        self._console.print(_dim(f"   {ANNA} → {', '.join(letter.ends)}  “{letter.subject}”"))
        table = _grid(10, 12, 38, 10)
        table.columns[-1].justify = "right"
        domain = ""
        for step in way.steps:
            shown = Text(step.domain if step.domain != domain else "", "cyan")
            domain = step.domain
            table.add_row(shown, step.stage, Text(step.verdict, _colour(step.verdict)), _dim(step.took))
        self._print(table)
        for end in way.ends:
            mark = _mark(end.kind == letter.ends.get(end.recipient))
            self._console.print(Text.assemble("   ", mark, (f" {end.recipient}", "bold"), f": {end.text}"))

    def _print(self, table: Table) -> None:
        self._console.print(Padding(table, (0, 0, 0, 3), expand=False))

    def mailbox(self, address: str, received: Sequence[EmailMessage], good: bool) -> None:
        self.idle()
        self._console.print(Text.assemble("\n", _mark(good), (f"  {address}", "bold"), ", read by POP3"))
        for message in received:
            octets = len(attachment(message))
            attached = f", with {octets / 1024:.0f} KiB attached" if octets else ""
            outside = ", X-External: yes" if message["X-External"] else ""
            self._console.print(f"   “{message['Subject']}” from {sender(message)}{attached}{outside}")

    def verdict(self, good: bool, trouble: Sequence[str]) -> None:
        self.idle()
        for line in trouble:
            self._console.print(Text(f"\n{line}", "red"))
        text = "Seen: delivered here, delivered there, refused, returned" if good else "Not all ended as it should"
        took = time.monotonic() - self._began
        self._console.print(Text.assemble("\n", _mark(good), (f"  {text}", "bold"), _dim(f"  {took:.1f} s")))


def _grid(*widths: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for width in widths:
        table.add_column(width=width, no_wrap=True, overflow="ellipsis")
    return table


def _dim(text: str) -> Text:
    return Text(text, "dim")


def _mark(good: bool) -> tuple[str, str]:
    return ("✔", "green") if good else ("✘", "red")


def _colour(verdict: str) -> str:
    return _COLOURS.get(verdict.partition(" ")[0].rstrip(":"), "red")
