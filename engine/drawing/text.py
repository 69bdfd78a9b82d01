"""The pipeline drawn with characters, for terminals and mails."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.drawing.pipeline import NO_NOTES, Branch, DrawnLane, DrawnLeg, DrawnStage, Notes, Pipeline
from engine.lanes import QUEUE

WIDTH = 80
"""Columns that the drawing keeps to; a box that is wider by itself stands alone in its row."""

CONDITION = 24
"""Characters of a condition that are shown."""

_HEAD = 30
"""Characters of listeners' names in front of the first box."""

_RULES = 3
"""Rules of a branch that are named."""

_ASCII = str.maketrans("─━═│┃║┌┐└┘┏┓┗┛╔╗╚╝├┬┴┼╟┠┯╤╭╯╰▶…µ", "-#=|#|++++####+++++++++#+++++>~u")


@dataclass(frozen=True, slots=True)
class _Frame:
    """The characters of a box: corners, sides, and where lines leave it to the right and below."""

    corners: str
    across: str
    down: str
    right: str
    below: str


_LIGHT = _Frame("┌┐└┘", "─", "│", "├", "┬")
_HEAVY = _Frame("┏┓┗┛", "━", "┃", "┠", "┯")
_DOUBLE = _Frame("╔╗╚╝", "═", "║", "╟", "╤")


@dataclass(frozen=True, slots=True)
class _Box:
    """Cells side by side in one frame, and what is written at the link that leads to it."""

    cells: tuple[tuple[str, ...], ...]
    frame: _Frame
    label: tuple[str, ...] = ()
    leads_to: str = ""

    @property
    def width(self) -> int:
        return sum(_cell_width(cell) for cell in self.cells) + len(self.cells) + 1

    @property
    def height(self) -> int:
        return max(len(cell) for cell in self.cells) + 2

    @property
    def gap(self) -> int:
        """Columns of the arrow that leads to it."""
        return max([len(line) + 2 for line in self.label] + [2])

    @property
    def tail(self) -> int:
        return len(self.leads_to) + 4 if self.leads_to else 0


def as_text(pipeline: Pipeline, notes: Notes = NO_NOTES, *, ascii_only: bool = False, width: int = WIDTH) -> str:
    """The whole drawing, its lines ended by line feeds."""
    drawing = _Drawing(pipeline, notes, width)
    text = drawing.text()
    return text.translate(_ASCII) if ascii_only else text


class _Drawing:
    """Puts lane under lane; a lane that another one leads to stands below that, behind its branch."""

    def __init__(self, pipeline: Pipeline, notes: Notes, width: int) -> None:
        self._pipeline = pipeline
        self._notes = notes
        self._width = width
        self._rows: list[list[str]] = []
        self._done: set[str] = set()

    def text(self) -> str:
        lanes = self._pipeline.lanes
        led_to = {branch.lane for lane in lanes for branch in lane.branches}
        first = [lane for lane in lanes if lane.enters or lane.name not in led_to]
        for lane in (*first, *lanes):  # those that are left lead in a circle
            if lane.name not in self._done:
                self._heading(lane)
                self._done.add(lane.name)
                self._lane(lane, 1, len(self._rows), is_led_to=False)
                self._put(0, len(self._rows), "")
        self._legend()
        return "".join("".join(row).rstrip() + "\n" for row in self._rows)

    def _put(self, x: int, y: int, text: str) -> None:
        while len(self._rows) <= y:
            self._rows.append([])
        row = self._rows[y]
        row.extend(" " * (x + len(text) - len(row)))
        row[x : x + len(text)] = text

    def _heading(self, lane: DrawnLane) -> None:
        line = f"lane {lane.name}"
        for number, name in enumerate(lane.listeners):
            address = f" {name} {self._pipeline.addresses.get(name, '')}".rstrip()
            mark = ":" if number == 0 else ","
            if len(line) + len(mark) + len(address) > self._width:
                self._put(0, len(self._rows), line + mark)
                line, mark = "    ", ""
            line += mark + address
        self._put(0, len(self._rows), line)

    def _lane(self, lane: DrawnLane, x: int, y: int, *, is_led_to: bool) -> int:
        """Draw a lane with what it leads to, its arrow from column ``x`` on; the first free row below."""
        head = _shortened(", ".join(lane.listeners), _HEAD)
        if head and not is_led_to:
            self._put(x, y + 1, head)
        start = x + len(head) + 1 if head else x
        rows = _in_rows(_boxes(lane, self._notes), start, x + 1, self._width)
        center = x
        for number, row in enumerate(rows):
            if number:
                y = self._turn(center, x, y)
                self._put(x, y, "│")
                self._put(x, y + 1, "╰")
            has_arrow = is_led_to or bool(head) or number > 0
            center, y = self._row(row, start if number == 0 else x + 1, y, has_arrow=has_arrow)
        return self._branches(lane.branches, center, x, y) if lane.branches else y

    def _row(self, row: Sequence[_Box], x: int, y: int, *, has_arrow: bool) -> tuple[int, int]:
        """Draw boxes side by side: where the last one can be left below, and the first free row."""
        height = max(box.height for box in row)
        for number, box in enumerate(row):
            if has_arrow or number:
                x = self._arrow(box, x, y)
            self._box(box, x, y, height)
            if number + 1 < len(row) or box.leads_to:
                self._put(x + box.width - 1, y + 1, box.frame.right)
            center = x + box.width // 2
            x += box.width
            if box.leads_to:
                self._put(x, y + 1, f"─▶ {box.leads_to}")
        return center, y + height

    def _arrow(self, box: _Box, x: int, y: int) -> int:
        self._put(x, y + 1, "─" * (box.gap - 1) + "▶")
        for line, text in zip((y, y + 2), box.label, strict=False):
            self._put(x + 1, line, text)
        return x + box.gap

    def _box(self, box: _Box, x: int, y: int, height: int) -> None:
        frame = box.frame
        first, second, third, fourth = tuple(frame.corners)
        widths = [_cell_width(cell) for cell in box.cells]
        self._put(x, y, first + "┬".join(frame.across * width for width in widths) + second)
        for line in range(height - 2):
            texts = [cell[line] if line < len(cell) else "" for cell in box.cells]
            cells = (f" {text}".ljust(width) for text, width in zip(texts, widths, strict=True))
            self._put(x, y + 1 + line, frame.down + frame.down.join(cells) + frame.down)
        self._put(x, y + height - 1, third + "┴".join(frame.across * width for width in widths) + fourth)

    def _turn(self, center: int, x: int, y: int) -> int:
        """A line from the box above back to column ``x``; the row below it."""
        above = self._rows[y - 1]
        above[center] = {"─": "┬", "━": "┯", "═": "╤", "┴": "┼"}[above[center]]
        self._put(x, y, "╭" + "─" * (center - x - 1) + "╯")
        return y + 1

    def _branches(self, branches: Sequence[Branch], center: int, x: int, y: int) -> int:
        y = self._turn(center, x, y)
        here = [branch.lane for branch in branches if self._stands_here(branch.lane)]
        self._done.update(here)
        for number, branch in enumerate(branches):
            is_last = number + 1 == len(branches)
            lane = self._pipeline.lane(branch.lane)
            title = _shortened(f"lane {branch.lane}{_rules(branch)}", self._width - x - 4)
            if branch.lane not in here or lane is None:
                self._put(x, y, f"{'╰' if is_last else '├'}─▶ {title}")
                y += 1
                continue
            self._put(x, y, f"│  {title}")
            end = self._lane(lane, x + 1, y + 1, is_led_to=True)
            for line in range(y + 1, y + 3 if is_last else end):
                self._put(x, line, "│")
            self._put(x, y + 2, "╰" if is_last else "├")
            y = end
        return y

    def _stands_here(self, name: str) -> bool:
        """Whether a lane that is led to is drawn where it is led to."""
        lane = self._pipeline.lane(name)
        return lane is not None and not lane.enters and name not in self._done

    def _legend(self) -> None:
        stages = [stage for lane in self._pipeline.lanes for leg in (*lane.before, *lane.after) for stage in leg.stages]
        if any(lane.queue for lane in self._pipeline.lanes):
            self._put(0, len(self._rows), "═ on disk, and the client hears 250: for what stands before, it waits")
        if any(stage.effect for stage in stages):
            self._put(0, len(self._rows), "━ acts on the world outside")


def _boxes(lane: DrawnLane, notes: Notes) -> list[_Box]:
    boxes = [_Box((_cell(lane.source, notes),), _LIGHT)] if lane.source else []
    boxes += [_box(leg, notes) for leg in lane.before]
    if lane.queue:
        boxes.append(_Box(((QUEUE, *notes.queue),), _DOUBLE, notes.links.get(lane.queue, ())))
    return boxes + [_box(leg, notes) for leg in lane.after]


def _box(leg: DrawnLeg, notes: Notes) -> _Box:
    last = leg.stages[-1]
    cells = tuple(_cell(stage, notes) for stage in leg.stages)
    return _Box(cells, _HEAVY if last.effect else _LIGHT, notes.links.get(leg.link, ()), last.leads_to)


def _cell(stage: DrawnStage, notes: Notes) -> tuple[str, ...]:
    lines = [stage.name]
    if stage.workers:
        lines.append(f"{stage.workers} worker{'s' * (stage.workers != 1)}")
    if stage.when:
        lines.append(_shortened(f"if {stage.when}", CONDITION))
    return (*lines, *notes.stages.get(stage.name, ()))


def _in_rows(boxes: Sequence[_Box], first: int, others: int, width: int) -> list[list[_Box]]:
    """As many boxes in a row as there is room for; the first row begins at another column than the others."""
    rows: list[list[_Box]] = []
    x = first
    for box in boxes:
        needed = box.gap + box.width
        if rows and x + needed + box.tail <= width:
            rows[-1].append(box)
        else:
            x = others if rows else first
            rows.append([box])
        x += needed
    return rows


def _cell_width(cell: Sequence[str]) -> int:
    return max(map(len, cell)) + 2


def _rules(branch: Branch) -> str:
    if not branch.rules:
        return ""
    more = len(branch.rules) - _RULES
    return ": " + "; ".join(branch.rules[:_RULES]) + (f"; {more} more" if more > 0 else "")


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
