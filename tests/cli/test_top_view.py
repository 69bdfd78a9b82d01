"""`postroad top` without a server: keys, sorting, how rows share the screen, what is drawn."""

import io
from dataclasses import replace
from functools import reduce

import pytest
from rich.console import Console

from engine.cli.top.drawing import SMALLEST, plain, screen, shared_out, sparkline
from engine.cli.top.frame import Frame, SiteRow, WorkerRow, as_json, frame_of
from engine.cli.top.panes import LINKS, PANES, SITES, STAGES, WORKERS
from engine.cli.top.snapshot import SUPERVISOR, ProcessFigures, Snapshot
from engine.cli.top.view import INTERVALS, View, keys_in, pressed
from engine.drawing.pipeline import DrawnLane, DrawnLeg, DrawnStage, Pipeline
from engine.runtime.state import Running
from engine.watching.readings import LinkReading, Reading, Round, StageReading

LINKS_READ = tuple(LinkReading(f"lane/{name}", rate, depth, 3, 512) for name, rate, depth in
                   (("a", 5.0, 0), ("b", 900.0, 40), ("c", 0.0, 7)))  # fmt: skip
FRAME = Frame(
    at=0.0,
    reading=Reading(
        1.0, 812.4, 3.25, {"waiting": 1204}, 180.0, LINKS_READ,
        (StageReading("quick", {"pass": 9.0, "reject": 1.0}, 0.0012, 0.0048), StageReading("idle")),
    ),
    revision=3,
    pid=4711,
    age=7300.0,
    sites=(
        SiteRow("mx.small.example", "", 1, 20, 2, 0.0, "250 ok"),
        SiteRow("mx.large.example", "new", 20, 20, 9000, 12.0, "421 too \x1b[31mmuch"),
    ),
    workers=(WorkerRow("mail-0", 10, 0.98, 90 * 2**20, 0.012), WorkerRow("mail-1")),
)  # fmt: skip


def typed(text: str, view: View | None = None) -> View:
    return reduce(pressed, keys_in(text), view or View())


def shown(view: View, width: int = 100, height: int = 50) -> list[str]:
    out = io.StringIO()
    console = Console(file=out, width=width, height=height, force_terminal=False, color_system=None)
    console.print(screen(FRAME, view, "1.0", height, (1.0, 2.0)))
    return out.getvalue().splitlines()


def test_keys_are_told_apart() -> None:
    assert list(keys_in("1\x1b[A\x1bOB\x1b[Z\t q\x1b[5~")) == [
        "1", "up", "down", "back-tab", "tab", "p", "q", "page-up",
    ]  # fmt: skip


def test_panes_are_switched() -> None:
    assert (typed("3").focus, typed("3").alone) == (2, True)
    assert (typed("30").focus, typed("30").alone) == (2, False)
    assert typed("\t").focus == 1
    assert typed("\t\t\t\t").focus == 0
    assert typed("\x1b[Z").focus == len(PANES) - 1
    assert typed("9") == typed("x") == View()


def test_sorting_goes_through_the_columns_and_back_to_the_known_order() -> None:
    assert typed("s").column(0) == 0
    assert typed("ss").column(0) == 1
    assert typed("S").column(0) == len(LINKS.columns) - 1
    assert typed("s" * (len(LINKS.columns) + 1)).column(0) is None
    assert typed("r").is_backwards(0)
    assert not typed("rr").is_backwards(0)
    assert typed("\ts").column(0) is None


def test_pause_interval_help_and_the_end() -> None:
    assert typed(" ").paused
    assert not typed("pp").paused
    assert typed("+").interval == 0.5
    assert typed("-").interval == 2.0
    assert typed("+" * 20).interval == INTERVALS[0]
    assert typed("-" * 20).interval == INTERVALS[-1]
    assert typed("?").asks_help
    assert not typed("?x").asks_help
    assert typed("?q").ended
    assert typed("q").ended
    assert typed("\x03").ended


def test_scrolling_stays_within() -> None:
    assert typed("jjj").scrolled[0] == 3
    assert typed("jkkk").scrolled[0] == 0
    assert pressed(typed("jjj"), "page-down", rows=8).scrolled[0] == 7
    assert pressed(View(), "j", rows=0).scrolled[0] == 0


def test_rows_sort_by_a_column_with_the_unknown_last() -> None:
    def names(column: int | None, *, backwards: bool = False) -> list[str]:
        return [link.name[-1] for link in LINKS.sorted(FRAME, column, backwards=backwards)]

    assert names(None) == ["a", "b", "c"]
    assert names(None, backwards=True) == ["c", "b", "a"]
    assert names(0) == ["a", "b", "c"]
    assert names(0, backwards=True) == ["c", "b", "a"]
    assert names(1) == ["b", "a", "c"]
    assert names(1, backwards=True) == ["c", "a", "b"]
    assert names(3) == ["c", "b", "a"]  # one that stands still has no end of its lag
    assert [stage.name for stage in STAGES.sorted(FRAME, 2, backwards=True)] == ["quick", "idle"]
    assert [worker.name for worker in WORKERS.sorted(FRAME, 2, backwards=False)] == ["mail-0", "mail-1"]
    assert [site.waiting for site in SITES.sorted(FRAME, View().column(2), backwards=False)] == [9000, 2]


@pytest.mark.parametrize(
    ("needs", "room", "given"),
    [
        ([3, 3], 10, [3, 3]), ([10, 10], 10, [5, 5]), ([1, 10], 8, [1, 7]), ([10, 1, 10], 9, [4, 1, 4]),
        ([5, 5], 0, [0, 0]), ([5], -3, [0]), ([3, 3, 3], 2, [1, 1, 0]), ([], 5, []),
    ],
)  # fmt: skip
def test_rows_are_shared_out(needs: list[int], room: int, given: list[int]) -> None:
    assert shared_out(needs, room) == given


def test_the_screen_shows_all_panes_and_fits() -> None:
    for height in (SMALLEST, 30, 50):
        lines = shown(View(), height=height)
        assert len(lines) == height
        assert max(map(len, lines)) <= 100
        text = "\n".join(lines)
        for pane in PANES:
            assert f" {PANES.index(pane) + 1} {pane.name} " in text
    assert "revision 3  up 2.0 h  pid 4711" in text
    assert "in 812/s" in text
    assert "queue 1,204 waiting  oldest 3.0 m" in text
    assert "0/s" in text
    assert "∞" in text
    assert "1.2 ms" in text
    assert "pass 90 %, reject 10 %" in text
    assert "\x1b" not in text  # what a site said is shown, not obeyed
    assert "90 MiB" in text


def test_an_empty_queue_is_0_where_it_is_known_to_be_empty() -> None:
    def queue(queued: dict[str, int], *lags: float | None) -> str:
        workers = tuple(WorkerRow(f"mail-{number}", 10, lag=lag) for number, lag in enumerate(lags))
        frame = replace(FRAME, reading=replace(FRAME.reading, queued=queued), workers=(*workers, WorkerRow("index")))
        out = io.StringIO()
        Console(file=out, width=100).print(plain(frame, "1.0"))
        return out.getvalue().partition("queue ")[2].split()[0]

    assert queue({"waiting": 1204}, 0.1, 0.1) == "1,204"
    assert queue({"waiting": 0, "away": 0}, 0.1, 0.1) == "0"
    assert queue({"waiting": 0, "away": 0}, 0.1, None) == "–"  # one of them has not answered
    assert queue({}) == "–"


def test_a_small_screen_shows_one_pane_with_part_of_its_rows() -> None:
    lines = shown(View(), height=8)
    text = "\n".join(lines)
    assert len(lines) == 8
    assert "1 links  1–2 of 3" in text
    assert "stages" not in text
    assert "lane/c" not in text
    text = "\n".join(shown(typed("jjjjj"), height=8))
    assert "2–3 of 3" in text
    assert "lane/c" in text


def test_a_narrow_screen_cuts_and_does_not_wrap() -> None:
    lines = shown(View(), width=40, height=40)
    assert len(lines) == 40
    assert max(map(len, lines)) <= 40


def test_help_and_pause_are_shown() -> None:
    assert "the other way round" in "\n".join(shown(typed("?")))
    assert "paused" in shown(typed("p"))[0]
    assert "every 0.5 s" in shown(typed("+"))[-1]


def test_a_frame_without_a_server_says_so() -> None:
    pipeline = Pipeline(())
    empty = Snapshot(0.0, Round(1.0))
    out = io.StringIO()
    Console(file=out, width=100).print(plain(frame_of(empty, empty, pipeline), "1.0"))
    assert "no server runs" in out.getvalue()


def test_a_frame_is_made_of_two_snapshots() -> None:
    lane = DrawnLane("in", source=DrawnStage("door"), queue="in/queue", after=(DrawnLeg("in/a", (DrawnStage("a"),)),))
    passed = "postroad_link_messages_total", (("link", "in/queue"),)
    running = Running(1, 2, folder="/x", lives={"mail-10": 1, "mail-2": 1, "mailboxes": 1})

    def snapshot(at: float, count: float, computed: float, pid: int) -> Snapshot:
        processes = {
            SUPERVISOR: ProcessFigures(1, 5.0, 2**20, 60.0),
            "mail-2": ProcessFigures(pid, computed, 2**20, 60.0),
            "mail-10": ProcessFigures(9, computed, 2**20, 60.0),
        }
        sites = [{"site": "s", "source": None, "connections": 1, "limit": 2, "waiting": 3, "paused_until": at + 5}]
        return Snapshot(at, Round(at, {"mail-2": [(*passed, count)]}), running, sites, processes)

    frame = frame_of(snapshot(100.0, 10, 1.0, 7), snapshot(102.0, 50, 2.0, 8), Pipeline((lane,)))
    assert (frame.revision, frame.age, frame.reading.arriving) == (2, 60.0, 20)
    assert [worker.name for worker in frame.workers] == [SUPERVISOR, "mail-2", "mail-10", "mailboxes"]
    assert [worker.cpu for worker in frame.workers] == [0.0, None, 0.5, None]  # the second one is another process now
    assert frame.sites == (SiteRow("s", "", 1, 2, 3, 5.0, ""),)
    data = as_json(frame, "1.0")
    assert (data["in"], data["revision"], data["workers"][2]["cpu"]) == (20, 2, 0.5)


def test_bars_reach_from_nothing_to_the_most() -> None:
    assert sparkline([0, 5, 10]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert len(sparkline([1.0] * 500)) < 30
