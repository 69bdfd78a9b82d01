"""What one revision changed in another, in words and line by line."""

import pytest

from engine.revisions import Change, Kept, changes, in_a_line, unified

BASE = """
[server]
hostname = "mx.example.org"

[listen]
smtp = "*:25"

[lane.inbound]
stages = ["accept", "queue", "route"]

[[route]]
to = "*"
lane = "local"

[stage.accept]
max_size = "25 MB"
"""

ADDED = BASE.replace('"accept", "queue"', '"accept", "needs_subject", "queue"') + (
    '\n[stage.needs_subject]\nuse = "filters/needs_subject.py"\n'
)


def kept(number: int, text: str, **files: str) -> Kept:
    return Kept(number, 0.0, "ann", text, files)


CASES = {
    "nothing": (BASE, []),
    "a comment": ("# why\n" + BASE, ["file pipeline.toml: comments or layout"]),
    "a stage": (ADDED, ["lane inbound: + needs_subject", "stage needs_subject added"]),
    "a setting": (BASE.replace("25 MB", "30 MB"), ["stage accept: max_size"]),
    "another stage": (
        BASE.replace('"route"]', '"sort"]'),
        ["lane inbound: + sort, - route", "stage route removed", "stage sort added"],
    ),
    "the order": (BASE.replace('"queue", "route"', '"route", "queue"'), ["lane inbound: order"]),
    "a lane": (BASE + '[lane.local]\nstages = ["enqueue"]\n', ["lane local added", "stage enqueue added"]),
    "a listener": (
        BASE.replace('"*:25"', '"*:2525"\nimap = "*:143"'),
        ["listener imap added", "listener smtp: *:2525"],
    ),
    "tables": (
        BASE.replace('lane = "local"', 'lane = "far"').replace('.org"', '.net"') + '[dns]\ntimeout = "1s"\n',
        ["table dns added", "table server: hostname", "table route: changed"],
    ),
    "no TOML": ("[server", ["file pipeline.toml: changed"]),
    "odd shapes": ("lane = 1\nstage = []\nlisten = ''\n", [
        "lane inbound removed", "stage accept removed", "stage route removed", "listener smtp removed",
        "table server removed", "table route removed",
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_changes_in_words(name: str) -> None:
    text, said = CASES[name]
    assert [str(change) for change in changes(kept(1, BASE), kept(2, text))] == said


def test_changes_of_files() -> None:
    old, new = kept(1, BASE, gone="1", same="1", edited="1"), kept(2, BASE, same="1", edited="2", new="1")
    assert [str(change) for change in changes(old, new)] == [
        "file gone removed",
        "file new added",
        "file edited: changed",
    ]


def test_a_line_has_room_for_some() -> None:
    found = [Change("stage", str(number), "added") for number in range(6)]
    assert in_a_line(found[:2]) == "stage 0 added; stage 1 added"
    assert in_a_line(found) == "stage 0 added; stage 1 added; stage 2 added; 3 more"
    assert in_a_line([]) == "nothing"


def test_lines_of_every_file() -> None:
    old, new = kept(3, "a\nb\n", x="1\n"), kept(5, "a\nc\n", y="2\n")
    assert unified(old, new) == [
        "--- pipeline.toml (revision 3)", "+++ pipeline.toml (revision 5)", "@@ -1,2 +1,2 @@", " a", "-b", "+c",
        "--- x (revision 3)", "+++ /dev/null", "@@ -1 +0,0 @@", "-1",
        "--- /dev/null", "+++ y (revision 5)", "@@ -0,0 +1 @@", "+2",
    ]  # fmt: skip
