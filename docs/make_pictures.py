"""Draws the pictures of the pages: `make pictures`. Those of a server at work are of one that is started for that."""

import re
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from rich._export_format import CONSOLE_SVG_FORMAT  # noqa: E402
from rich.console import Console  # noqa: E402

from engine.cli.top import version  # noqa: E402
from engine.cli.top.drawing import screen  # noqa: E402
from engine.cli.top.frame import frame_of  # noqa: E402
from engine.cli.top.snapshot import take  # noqa: E402
from engine.cli.top.view import View  # noqa: E402
from engine.config import load  # noqa: E402
from engine.drawing.pipeline import drawn  # noqa: E402
from engine.drawing.svg import as_svg  # noqa: E402
from engine.net.zone import Zone  # noqa: E402
from engine.runtime.state import State  # noqa: E402
from tests.support.background import dns, smtp_server  # noqa: E402
from tests.support.load import Load  # noqa: E402
from tests.support.remote import Remote  # noqa: E402
from tests.support.server import Postroad  # noqa: E402

DOCS = ROOT / "docs"
FRAMES = 12
WIDTH, HEIGHT = 104, 37

CHARACTER = 12.2
"""Pixels of a character in the pictures that rich draws."""

_SPACE = "&#160;"
_SPACES = re.compile(rf'(<text class="[^"]*" )x="([\d.]+)"([^>]*)textLength="([\d.]+)"([^>]*>)((?:{_SPACE})+)(?=[^&<])')

STAGES: dict[str, Any] = {
    "lane": {
        "inbound": {"stages": ["accept", "authenticate", "scan", "tag_external", "queue", "route"]},
        "remote": {"stages": ["sign", "resolve", "relay"]},
    },
    "listen": {"imap": "127.0.0.1:0"},
}
"""Those of the pipeline.toml that comes along."""


ZONE = Zone(
    ".",
    {
        "example.net.": {"TXT": '"v=spf1 ip4:127.0.0.1 -all"'},
        "elsewhere.example.": {"MX": "10 mx.elsewhere.example."},
        "partner.example.": {"MX": "10 mx.partner.example."},
        "mx.elsewhere.example.": {"A": "127.0.0.1"},
        "mx.partner.example.": {"A": "127.0.0.1"},
    },
)


def settings(resolver: str, next_server: int) -> dict[str, Any]:
    """All that is for elsewhere goes to one port."""
    stages = {
        "scan": {"when": "not session.trusted", "spam": {}},
        "tag_external": {"use": "filters/tag_external.py"},
        "resolve": {"port": next_server},
    }
    return {**STAGES, "stage": stages, "dns": {"servers": [resolver]}}


def main() -> None:
    pipeline = drawn(load(ROOT / "pipeline.toml"))
    (DOCS / "pipeline.svg").write_text(as_svg(pipeline))
    if "--all" not in sys.argv:
        return
    source = (ROOT / "filters" / "tag_external.py").read_text()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        remote = stack.enter_context(smtp_server(Remote()))
        resolver = stack.enter_context(dns(ZONE))
        server = Postroad(folder, settings(resolver, remote.port), tag_external=source).account("bob@example.org")
        stack.enter_context(server)
        stack.enter_context(Load(server, "bob@example.org", clients=6, pause=0.01))
        stack.enter_context(Load(server, "eve@elsewhere.example", clients=3, pause=0.02))
        stack.enter_context(Load(server, "tom@partner.example", clients=1, pause=0.05))
        time.sleep(3)
        done = server.command("show", "--svg", str(DOCS / "show.svg"), "--interval", "5")
        assert done.returncode == 0, done.stderr
        (DOCS / "top.svg").write_text(picture_of_top(server))


def picture_of_top(server: Postroad) -> str:
    """What stands on the screen after some seconds."""
    config = load(server.config)
    pipeline, state = drawn(config), State(config.server.data)
    snapshots, trend = [take(state)], []
    for _ in range(FRAMES):
        time.sleep(1)
        snapshots.append(take(state))
        frame = frame_of(snapshots[-2], snapshots[-1], pipeline)
        trend.append(frame.reading.arriving)
    with open("/dev/null", "w") as nowhere:
        console = Console(record=True, width=WIDTH, height=HEIGHT, file=nowhere, force_terminal=True, highlight=False)
        console.print(screen(frame, View(), version(), HEIGHT, trend))
    without_fonts = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg = console.export_svg(title="postroad top", code_format=without_fonts, unique_id="top")
    return "".join(line.rstrip() + "\n" for line in _SPACES.sub(_without_spaces, svg).splitlines())


def _without_spaces(found: re.Match[str]) -> str:
    """A text that begins where its first letter is: some programs drop spaces before that."""
    before, x, between, length, after, spaces = found.groups()
    moved = len(spaces) // len(_SPACE) * CHARACTER
    return f'{before}x="{float(x) + moved:.1f}"{between}textLength="{float(length) - moved:.1f}"{after}'


if __name__ == "__main__":
    main()
