"""The filters that come along in a whole server: all load, and some change, copy and strip mail on its way."""

import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from engine.net.zone import Zone
from tests.support.background import dns, smtp_server
from tests.support.remote import Remote
from tests.support.server import ROOT, Postroad, Settings, until

ANN, BEN, FAR, ARCHIVE = "ann@example.org", "ben@example.org", "bob@far.test", "all@example.org"
FILES = sorted(path.stem for path in (ROOT / "filters").glob("*.py"))
FOOTER = {"domain": "example.org", "text": "-- \nGrüße, ACME", "html": "<p>Grüße, ACME</p>"}


def manual(name: str) -> str:
    """What stands at the top of the file."""
    found = re.match(r'"""(.*?)"""', (ROOT / "filters" / f"{name}.py").read_text(), re.DOTALL)
    assert found
    return found[1]


def example(name: str) -> Settings:
    """The settings that the manual shows."""
    shown = tomllib.loads("\n".join(line for line in manual(name).splitlines() if line.startswith("    ")))
    return shown.get("stage", {}).get(name, {"use": f"filters/{name}.py"})


def test_all_of_them_pass_the_check(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "filters", tmp_path / "filters")
    text = (ROOT / "docs" / "writing-stages.md").read_text()
    names = ", ".join(f'"{name}"' for name in FILES)
    shown = ["\n".join(line for line in manual(n).splitlines() if line.startswith("    ")) for n in FILES]
    tables = "\n".join(re.sub(r"^ *\[lane\..*\n.*\n", "", one, flags=re.MULTILINE) for one in shown)
    held = re.search(r"\[stage\.hold_overnight\].*?```", text, re.DOTALL)
    assert held
    server = Postroad(tmp_path)
    server.write(
        f"""
[server]
hostname = "mx.example.org"
[listen]
smtp = "127.0.0.1:0"
[lane.inbound]
stages = ["accept", {names}, "queue", "route"]
[lane.local]
stages = ["enqueue"]
[[route]]
to = "*"
lane = "local"
[stage.needs_subject]
use = "filters/needs_subject.py"
[stage.tag_external]
use = "filters/tag_external.py"
{held[0].removesuffix("```")}
{tables}
"""
    )
    done = server.command("check")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_the_page_has_a_line_for_each() -> None:
    named = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "filters.md").read_text(), re.MULTILINE)
    assert named == FILES


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postroad, Remote]]:
    folder = tmp_path_factory.mktemp("filters")
    shutil.copytree(ROOT / "filters", folder / "filters")
    inbound = ["accept", "journal", "strip_attachments", "queue", "route"]
    stages = {
        "journal": example("journal") | {"archive": ARCHIVE},
        "strip_attachments": {"use": "filters/strip_attachments.py"},
        "disclaimer": {"use": "filters/disclaimer.py", "footers": [], "workers": 1},
    }
    with ExitStack() as stack:
        address = stack.enter_context(dns(Zone("far.test", {"@": {"MX": "10 mx"}, "mx": {"A": "127.0.0.1"}})))
        remote = stack.enter_context(smtp_server(Remote()))
        settings = {
            "dns": {"servers": [address]},
            "lane": {"inbound": {"stages": inbound}, "remote": {"stages": ["disclaimer", "resolve", "relay"]}},
            "stage": {**stages, "resolve": {"port": remote.port}},
        }
        server = Postroad(folder, settings)
        server.write(server.config.read_text().replace("footers = []", f"footers = [{_inline(FOOTER)}]"))
        yield stack.enter_context(server.account(ANN, BEN, ARCHIVE)), remote


def _inline(table: dict[str, str]) -> str:
    return "{" + ", ".join(f'{key} = """{value}"""' for key, value in table.items()) + "}"


def letter(subject: str, file: bytes, name: str) -> bytes:
    made = EmailMessage(policy=SMTP)
    made["From"], made["Subject"] = ANN, subject
    made.set_content("Hello\n")
    made.add_alternative("<p>Hello</p>\n", subtype="html")
    made.add_attachment(file, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()


@pytest.mark.parametrize("size", [100, 400_000], ids=["small", "large"])
@pytest.mark.parametrize("name", ["good.bin", "bad.exe"])
def test_mail_is_changed_before_and_behind_the_queue(running: tuple[Postroad, Remote], size: int, name: str) -> None:
    server, remote = running
    subject, before = f"{name} {size}", len(remote.received)
    server.send(letter(subject, b"MZ\0\1" * (size // 4), name), BEN, FAR, sender=ANN)
    far = until(lambda: remote.received[before:], "mail at far.test")[0].content
    (near,) = until(lambda: [one for one in server.mailbox(BEN) if subject.encode() in one], "mail in the mailbox")
    (copy,) = until(lambda: [one for one in server.mailbox(ARCHIVE) if subject.encode() in one], "mail in the archive")
    for one in (near, copy):
        assert (b"The attachment bad.exe was removed." in one) == (name == "bad.exe")
        assert (b"TVoAAU1aAAFN" in one) == (name != "bad.exe")
        assert b"ACME" not in one
    assert far.count(b"ACME") == 2
    assert (b"TVoAAU1aAAFN" in far) == (name != "bad.exe")
    assert b"<p>Gr=C3=BC=C3=9Fe, ACME</p>" in far or "Grüße, ACME</p>".encode() in far or b"&#252;&#223;e" in far
    until(lambda: not list((server.folder / "var" / "content").iterdir()), "the end of the queue's files")
