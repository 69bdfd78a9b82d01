"""The pipeline drawn as SVG: what the client waits for, the queue in the middle, and what runs on our own time."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TypeAlias
from xml.sax.saxutils import escape, quoteattr

from engine.drawing.pipeline import MAILBOXES, NO_NOTES, DrawnLane, DrawnLeg, DrawnStage, Notes, Pipeline
from engine.lanes import QUEUE

NAME, SMALL = 8.4, 7.0
"""Pixels of a character at most, in the two sizes of text: 14px bold, and 12px."""

MARGIN = 24.0
PAD = 12.0
"""Pixels at both sides of what is written in a box."""

LINE = 16.0
"""Pixels from line to line in a box."""

ARROW = 24.0
"""Pixels of an arrow with nothing written at it."""

CORRIDOR = 34.0
"""Pixels in which lines turn from a lane to those that it leads to; more of them need more."""

TOP, BOTTOM = 74.0, 52.0
"""Pixels above and below the lanes: for headings, and for the ways back."""

HALF = 24.0
"""Pixels above and below an arrow in which it can be clicked."""

CYLINDER = 92.0
"""Pixels of a store."""

CONDITION = 22
"""Characters of a condition that are shown."""

_STYLE = """
    text { font-family: system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
    .page { fill: #ffffff }
    .zone { fill: #f3f5f8 }
    .stage { fill: #ffffff; stroke: #57606a; stroke-width: 1.4 }
    .effect { fill: #ffffff; stroke: #57606a; stroke-width: 3 }
    .yours { fill: #fff6dc; stroke: #b07d00; stroke-width: 1.2; stroke-dasharray: 5 3 }
    .store { fill: #dcebff; stroke: #1f5fb4; stroke-width: 1.6 }
    .seam { stroke: #57606a; stroke-width: 1 }
    .name { font-size: 14px; font-weight: 600 }
    .note { font-size: 12px; fill: #57606a }
    .head { font-size: 13px; font-weight: 600; fill: #57606a }
    .ok { font-size: 14px; font-weight: 700; fill: #1a7f37 }
    .way { fill: none; stroke: #57606a; stroke-width: 1.6; marker-end: url(#tip) }
    .again { stroke-dasharray: 4 4 }
    .good { fill: none; stroke: #1a7f37; stroke-width: 1.8; marker-end: url(#good) }
    .tip { fill: #57606a }
    .goodtip { fill: #1a7f37 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 }
      .page { fill: #0d1117 }
      .zone { fill: #161c24 }
      .stage, .effect { fill: #0d1117; stroke: #9aa4b0 }
      .yours { fill: #2e2508; stroke: #d8a72e }
      .store { fill: #0f2a4d; stroke: #6aa9ff }
      .seam { stroke: #9aa4b0 }
      .note, .head { fill: #9aa4b0 }
      .ok { fill: #4ac26b }
      .way { stroke: #9aa4b0 }
      .good { stroke: #4ac26b }
      .tip { fill: #9aa4b0 }
      .goodtip { fill: #4ac26b }
    }
  """
Say: TypeAlias = Callable[[str], str]
"""Gives a text of ours in the reader's language; names in it stand as ``%(name)s``."""

Leads: TypeAlias = Callable[[str], str]
"""The address to which a click on a link leads, by the link's name."""

_ROUND = {"zone": 9, "stage": 7, "effect": 7, "yours": 4}
"""Pixels by which corners are round."""

_TIP = '<marker id="{}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
_MARKERS = "".join(
    f'{_TIP.format(name)}<path class="{kind}" d="M0 0 10 5 0 10z"/></marker>'
    for name, kind in (("tip", "tip"), ("good", "goodtip"))
)


@dataclass(frozen=True, slots=True)
class _Cell:
    """One stage in a box."""

    name: str
    lines: tuple[str, ...]
    theirs: bool

    @property
    def width(self) -> float:
        return max([len(self.name) * NAME] + [len(line) * SMALL for line in self.lines]) + 2 * PAD


@dataclass(frozen=True, slots=True)
class _Box:
    """Stages that one worker does in one go, and what is written at the link that leads to them."""

    cells: tuple[_Cell, ...]
    label: tuple[str, ...] = ()
    effect: bool = False
    leads_to: str = ""
    links: tuple[str, ...] = ()  # that lead to it: of several lanes, where they are drawn as one

    @property
    def width(self) -> float:
        return sum(cell.width for cell in self.cells)

    @property
    def height(self) -> float:
        return 40 + LINE * max(len(cell.lines) for cell in self.cells)

    @property
    def gap(self) -> float:
        return max([len(line) * SMALL + 14 for line in self.label] + [ARROW])


@dataclass(frozen=True, slots=True)
class _Row:
    """Boxes from left to right; ``lanes``: the lanes whose way that is."""

    lanes: tuple[DrawnLane, ...]
    boxes: tuple[_Box, ...]
    tail: tuple[str, ...] = ()  # what is written behind the last one
    column: int = 0

    @property
    def height(self) -> float:
        return max([box.height for box in self.boxes] + [LINE * len(self.tail)]) + 44

    @property
    def width(self) -> float:
        """With the arrows between the boxes, and not the one to the first."""
        boxes = sum(box.width for box in self.boxes) + sum(box.gap for box in self.boxes[1:])
        return boxes + (ARROW + self.tail_width if self.tail else 0)

    @property
    def tail_width(self) -> float:
        store = CYLINDER + ARROW if MAILBOXES in self.tail else 0
        texts = [text for text in self.tail if text != MAILBOXES]
        return store + max([len(text) * SMALL for text in texts] + [0]) + 6


def as_svg(
    pipeline: Pipeline,
    notes: Notes = NO_NOTES,
    *,
    title: str = "The way of a message through Postroad",
    style: bool = True,
    say: Say = str,
    leads: Leads | None = None,
) -> str:
    """The whole picture, a document of its own; light or dark, as the reader's screen is.

    Without ``style`` its classes have no looks: a page that it stands in has them. With ``leads`` its links can be
    clicked, and reached by the keyboard.
    """
    return _Picture(pipeline, notes, say, leads).document(title, style=style)


class _Picture:
    """Works out where everything stands, then draws it."""

    def __init__(self, pipeline: Pipeline, notes: Notes, say: Say = str, leads: Leads | None = None) -> None:
        self._pipeline = pipeline
        self._notes = notes
        self._say = say
        self._leads = leads
        self._drawn: list[str] = []
        self._above: list[str] = []  # what can be clicked, on top of all
        arriving = [lane for lane in pipeline.lanes if lane.enters]
        self._before = [self._row((lane,), lane.source, lane.before) for lane in arriving]
        self._after = self._rows_behind(arriving)
        self._led_to = self._rows_led_to()
        heights = [sum(row.height for row in rows) for rows in (self._before, self._after, self._led_to)]
        self._bottom = TOP + max(heights)
        self._head = max([len(name) * NAME for lane in arriving for name in lane.listeners] + [0]) + MARGIN
        self._queue_left, self._queue_width = self._place_of_queue(arriving)

    # -- what there is

    def _row(self, lanes: Sequence[DrawnLane], source: DrawnStage | None, legs: Iterable[DrawnLeg]) -> _Row:
        boxes = [_Box((self._cell(source),))] if source else []
        for leg in legs:
            last = leg.stages[-1]
            cells = tuple(map(self._cell, leg.stages))
            label = self._notes.links.get(leg.link, ())
            boxes.append(_Box(cells, label, last.effect, last.leads_to, (leg.link,)))
        return _Row(tuple(lanes), tuple(boxes))

    def _cell(self, stage: DrawnStage) -> _Cell:
        lines = []
        if stage.workers:
            workers = "%(num)s workers" if stage.workers != 1 else "%(num)s worker"
            lines.append(self._say(workers) % {"num": stage.workers})
        if stage.when:
            lines.append(_shortened(self._say("if %(condition)s") % {"condition": stage.when}, CONDITION))
        return _Cell(stage.name, (*lines, *self._notes.stages.get(stage.name, ())), stage.theirs)

    def _rows_behind(self, arriving: Sequence[DrawnLane]) -> list[_Row]:
        """What stands behind `queue`: once for lanes where it is the same."""
        same: dict[object, list[DrawnLane]] = {}
        for lane in arriving:
            if lane.after or lane.branches:
                key = (tuple(stage for leg in lane.after for stage in leg.stages), lane.branches)
                same.setdefault(key, []).append(lane)
        rows = []
        for lanes in same.values():
            row = self._row(lanes, None, lanes[0].after)
            if len(lanes) > 1:
                merged = (self._with_labels_of(box, lanes, number) for number, box in enumerate(row.boxes))
                row = replace(row, boxes=tuple(merged))
            rows.append(replace(row, tail=self._tail(row.boxes)))
        return rows

    def _with_labels_of(self, box: _Box, lanes: Sequence[DrawnLane], number: int) -> _Box:
        """The box of that number in all these lanes, with what is written at the links of each."""
        links = tuple(lane.after[number].link for lane in lanes)
        labels = zip(lanes, (self._notes.links.get(link, ()) for link in links), strict=True)
        said = tuple(f"{lane.name} {label[0]}" for lane, label in labels if label)
        return replace(box, label=said[:2], links=links)

    def _rows_led_to(self) -> list[_Row]:
        """Lanes that others lead to, each behind the one that does so first; then those to which nothing leads."""
        rows: list[_Row] = []
        done: set[str] = {lane.name for lane in self._pipeline.lanes if lane.enters}

        def add(names: Iterable[str], column: int) -> None:
            lanes = [self._pipeline.lane(name) for name in names]
            fresh = [lane for lane in lanes if lane is not None and lane.name not in done]
            done.update(lane.name for lane in fresh)
            for lane in fresh:
                row = self._row((lane,), lane.source, lane.after)
                rows.append(replace(row, column=column, tail=self._tail(row.boxes)))
                add((branch.lane for branch in lane.branches), column + 1)

        for row in self._after:
            add((branch.lane for branch in row.lanes[0].branches), 1)
        for lane in self._pipeline.lanes:
            add((lane.name,), 1)
        return rows

    def _tail(self, boxes: Sequence[_Box]) -> tuple[str, ...]:
        if boxes and boxes[-1].leads_to == MAILBOXES:
            return (MAILBOXES, *self._pipeline.readers)
        return (self._say(boxes[-1].leads_to),) if boxes and boxes[-1].leads_to else ()

    # -- where it stands

    def _place_of_queue(self, arriving: Sequence[DrawnLane]) -> tuple[float, float]:
        labels = [len(line) * SMALL + 14 for lane in arriving for line in self._notes.links.get(lane.queue, ())]
        rows = max([row.width for row in self._before] + [0])
        width = max([len(line) * SMALL for line in self._notes.queue] + [len(QUEUE) * NAME]) + 2 * PAD
        return MARGIN + self._head + ARROW + rows + max([*labels, ARROW]) + 20, max(width, 100)

    def _columns(self) -> list[float]:
        """Where the boxes of each column begin: those behind `queue`, then those that are led to."""
        gaps = [row.boxes[0].gap for row in self._after if row.boxes]
        found = [self._queue_left + self._queue_width + max([*gaps, ARROW]) + 28]
        rows = [self._after]
        for column in range(1, max([row.column for row in self._led_to] + [0]) + 1):
            rows.append([row for row in self._led_to if row.column == column])
            end = found[-1] + max([self._extent(row) for row in rows[-2]] + [0])
            labels = [self._entry(row) for row in rows[-1]]
            found.append(end + CORRIDOR + 9 * len(rows[-2]) + max([*labels, ARROW]))
        return found

    def _elsewhere(self, row: _Row) -> list[str]:
        """What is written at the end of a row: lanes that it leads to, and that stand where no line can go."""
        beside = {other.lanes[0].name for other in self._led_to if other.column == row.column + 1}
        others = [branch.lane for branch in row.lanes[0].branches if branch.lane not in beside]
        return [self._say("→ lane %(name)s") % {"name": name} for name in others]

    def _extent(self, row: _Row) -> float:
        """The width of a row with what is written at its end."""
        return row.width + max([len(text) * SMALL + 12 for text in self._elsewhere(row)] + [0])

    def _entry(self, row: _Row) -> float:
        """Pixels of the arrow to a lane that is led to, with its name and the rules above."""
        texts = [len(text) * SMALL + 10 for text in self._titles(row)]
        return max([*texts, *(box.gap for box in row.boxes[:1])])

    def _titles(self, row: _Row) -> list[str]:
        (lane,) = row.lanes
        rules = dict.fromkeys(
            rule for other in self._pipeline.lanes for to in other.branches if to.lane == lane.name for rule in to.rules
        )
        first = [_shortened(rule, CONDITION) for rule in list(rules)[:1]]
        return [self._lane(lane), *(f"{rule}, …" if len(rules) > 1 else rule for rule in first)]

    def _lane(self, lane: DrawnLane) -> str:
        return self._say("lane %(name)s") % {"name": lane.name}

    def _centers(self, rows: Sequence[_Row]) -> list[float]:
        """The middle of each row, where all rows together stand in the middle."""
        space = self._bottom - TOP - sum(row.height for row in rows)
        ends = accumulate((row.height for row in rows), initial=TOP + space / 2)
        return [start + row.height / 2 for start, row in zip(ends, rows, strict=False)]

    # -- drawing

    def document(self, title: str, *, style: bool) -> str:
        columns = self._columns()
        ends = [
            columns[0] + max([self._extent(row) for row in self._after] + [0]),
            *(columns[row.column] + self._extent(row) for row in self._led_to),
        ]
        width, height = max(ends) + 2 * MARGIN, self._bottom + BOTTOM + 14
        self._zones(width, height)
        self._left()
        self._queue()
        self._right(columns)
        body = "\n  ".join([*self._drawn, *self._above])
        role = "img" if self._leads is None else "group"  # what is in an image cannot be reached
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="{role}" '
            f'aria-labelledby="title what">\n  <title id="title">{escape(self._say(title))}</title>\n'
            f'  <desc id="what">{escape(in_words(self._pipeline, self._say))}</desc>\n'
            + (f"  <style>{_STYLE}</style>\n" if style else "")
            + f"  <defs>{_MARKERS}</defs>\n  {body}\n</svg>\n"
        )

    def _zones(self, width: float, height: float) -> None:
        self._drawn.append(f'<rect class="page" width="{width:.0f}" height="{height:.0f}" rx="10"/>')
        queue = self._queue_left
        edges = [14.0, queue - 12, queue + self._queue_width + 12, width - 14]
        heads = (("The sending client waits", "what is refused here never bounces"), ("On disk", "synced"),
                 ("On our own time", "retries, bounces, a lane for each recipient"))  # fmt: skip
        for left, right, (head, note) in zip(edges, edges[1:], heads, strict=False):
            self._rect("zone", left + 1, 14, right - left - 2, height - 28)
            self._text("head", (left + right) / 2, 38, self._say(head), room=right - left)
            self._text("note", (left + right) / 2, 56, self._say(note), room=right - left)

    def _left(self) -> None:
        start = MARGIN + self._head + ARROW
        source: tuple[float, float] | None = None
        for row, y in zip(self._before, self._centers(self._before), strict=True):
            (lane,) = row.lanes
            for number, name in enumerate(lane.listeners):
                at = y + 5 + LINE * (number - (len(lane.listeners) - 1) / 2)
                self._text("name", start - ARROW - 4, at, name, anchor="end")
            if lane.listeners:
                self._way(start - ARROW, y, start - 2)
            self._text("note", start, y - row.height / 2 + 14, self._lane(lane), anchor="start")
            end = self._boxes(row, start, y)
            self._label(end, self._queue_left, y, self._notes.links.get(lane.queue, ()))
            self._link(end, self._queue_left, y, (lane.queue,) if lane.queue else ())
            self._way(end, y, self._queue_left - 2)
            if row.boxes and lane.source:
                source = (start + row.boxes[0].width / 2, y + row.boxes[0].height / 2)
        if source:
            self._accepted(*source)

    def _accepted(self, x: float, y: float) -> None:
        """The way of the 250 back to the client."""
        low, queue = self._bottom + 22, self._queue_left + 24
        self._drawn.append(
            f'<path class="good" d="M{queue:.0f} {self._bottom + 4:.0f} V{low:.0f} H{x:.0f} V{y + 4:.0f}"/>'
        )
        text = self._say("250: from now on the mail is ours")
        room = self._queue_left - 12 - x
        self._text("ok", x + room / 2, low + 19, text if len(text) * NAME < room else "250")

    def _queue(self) -> None:
        left, width, top = self._queue_left, self._queue_width, TOP + 4
        self._store(left, top, width, self._bottom - 18 - top, 13)
        middle = (top + self._bottom) / 2 - LINE * len(self._notes.queue) / 2
        self._text("name", left + width / 2, middle, QUEUE)
        for number, line in enumerate(self._notes.queue or ("LMDB",)):
            self._text("note", left + width / 2, middle + LINE * (number + 1) + 2, line)

    def _right(self, columns: Sequence[float]) -> None:
        places: dict[str, tuple[float, float]] = {}  # where each lane ends
        queue = self._queue_left + self._queue_width
        for row, y in zip(self._after, self._centers(self._after), strict=True):
            end = queue
            if row.boxes:
                self._label(queue, columns[0], y, row.boxes[0].label)
                self._link(queue, columns[0], y, row.boxes[0].links)
                self._way(queue, y, columns[0] - 2)
                end = self._boxes(row, columns[0], y)
            self._tail_of(row, end, y)
            places |= {lane.name: (end, y) for lane in row.lanes}
        for row, y in zip(self._led_to, self._centers(self._led_to), strict=True):
            end = self._boxes(row, columns[row.column], y)
            self._tail_of(row, end, y)
            places[row.lanes[0].name] = (end, y)
            self._titles_at(row, columns[row.column], y)
        self._turns(columns, places)
        self._again(columns)

    def _titles_at(self, row: _Row, x: float, y: float) -> None:
        title, *rules = self._titles(row)
        start = x - self._entry(row)
        self._text("note", start, y - 22 if row.boxes[0].label[:1] else y - 8, title, anchor="start")
        self._link(start, x, y, row.boxes[0].links)
        if row.boxes[0].label:
            self._label(start, x, y, row.boxes[0].label, anchor="start")
            y += LINE * (len(row.boxes[0].label) > 1)
        for rule in rules:
            self._text("note", start, y + LINE, rule, anchor="start")

    def _turns(self, columns: Sequence[float], places: dict[str, tuple[float, float]]) -> None:
        """Lines from each lane's end to the lanes that it leads to."""
        rows = {row.lanes[0].name: row for row in self._led_to}
        turning = [*self._after, *self._led_to]
        for row in turning:
            end, y = places[row.lanes[0].name]
            for branch in row.lanes[0].branches:
                to = rows.get(branch.lane)
                if to is None or to.column != row.column + 1:
                    continue
                x = columns[to.column]
                peers = [other for other in turning if other.column == row.column]
                trunk = x - self._entry_of(to.column) - 12 - 9 * peers.index(row)
                target = places[branch.lane][1]
                self._path("way", f"M{_n(end)} {_n(y)} H{_n(trunk)} V{_n(target)} H{_n(x - 2)}")
            for line, text in enumerate(self._elsewhere(row)):
                self._text("note", end + 6, y + 24 + LINE * line, text, anchor="start")

    def _entry_of(self, column: int) -> float:
        return max([self._entry(row) for row in self._led_to if row.column == column] + [ARROW])

    def _again(self, columns: Sequence[float]) -> None:
        """The way back of what could not be handed on now, from the lowest row."""
        if not self._led_to or not self._led_to[-1].boxes or not self._led_to[-1].boxes[-1].effect:
            return
        row, y = self._led_to[-1], self._centers(self._led_to)[-1]
        last = row.boxes[-1]
        x = (
            columns[row.column]
            + sum(box.width for box in row.boxes)
            + sum(b.gap for b in row.boxes[1:])
            - last.width / 2
        )
        low, queue = self._bottom + 22, self._queue_left + self._queue_width - 20
        self._path("way again", f"M{_n(x)} {_n(y + last.height / 2)} V{_n(low)} H{_n(queue)} V{_n(self._bottom + 4)}")
        left = self._queue_left + self._queue_width + 12
        text = self._say("not now: it waits, and is tried again")
        self._text("note", (left + x) / 2, low + 17, text if len(text) * SMALL < x - left else self._say("not now"))

    def _boxes(self, row: _Row, x: float, y: float) -> float:
        """Draw the boxes of a row from there on; where the last one ends."""
        for number, box in enumerate(row.boxes):
            if number:
                self._label(x, x + box.gap, y, box.label)
                self._link(x, x + box.gap, y, box.links)
                self._way(x, y, x + box.gap - 2)
                x += box.gap
            self._box(box, x, y)
            x += box.width
        return x

    def _box(self, box: _Box, x: float, y: float) -> None:
        top = y - box.height / 2
        self._rect("effect" if box.effect else "stage", x, top, box.width, box.height)
        for number, cell in enumerate(box.cells):
            if number:
                self._path("seam", f"M{_n(x)} {_n(top)} v{_n(box.height)}")
            if cell.theirs:
                self._rect("yours", x + 4, top + 4, cell.width - 8, box.height - 8)
            first = y + 5 - LINE * len(cell.lines) / 2
            self._text("name", x + cell.width / 2, first, cell.name)
            for line, text in enumerate(cell.lines):
                self._text("note", x + cell.width / 2, first + LINE * (line + 1) + 1, text)
            x += cell.width

    def _tail_of(self, row: _Row, x: float, y: float) -> None:
        if not row.tail:
            return
        self._way(x, y, x + ARROW - 2)
        x += ARROW
        texts = row.tail
        if texts[0] == MAILBOXES:
            self._store(x, y - 16, CYLINDER, 32, 10)
            self._text("name", x + CYLINDER / 2, y + 9, self._say(MAILBOXES))
            x, texts = x + CYLINDER, texts[1:]
            if texts:
                self._way(x, y, x + ARROW - 2)
                x += ARROW
        for number, text in enumerate(texts):
            self._text("note", x + 4, y + 4 + LINE * (number - (len(texts) - 1) / 2), text, anchor="start")

    def _store(self, left: float, top: float, width: float, height: float, curve: float) -> None:
        half = width / 2
        self._path(
            "store", f"M{_n(left)} {_n(top)} v{_n(height)} a{_n(half)} {curve} 0 0 0 {_n(width)} 0 v-{_n(height)}"
        )
        self._drawn.append(
            f'<ellipse class="store" cx="{_n(left + half)}" cy="{_n(top)}" rx="{_n(half)}" ry="{curve}"/>'
        )

    def _label(self, left: float, right: float, y: float, label: Sequence[str], anchor: str = "middle") -> None:
        """What is written at a link: above its arrow, and below."""
        x = left if anchor == "start" else (left + right) / 2
        for line, text in zip((y - 7, y + 15), label, strict=False):
            self._text("note", x, line, text, anchor=anchor)

    def _link(self, left: float, right: float, y: float, links: Sequence[str]) -> None:
        """Where links can be clicked: over their arrow; of several that are drawn as one, one above the other."""
        if self._leads is None or not links:
            return
        height = 2 * HALF / len(links)
        for number, name in enumerate(links):
            place = f'x="{_n(left + 1)}" y="{_n(y - HALF + number * height)}" width="{_n(right - left - 2)}"'
            words = ": ".join(filter(None, (name, ", ".join(self._notes.links.get(name, ())))))
            self._above.append(
                f"<a href={quoteattr(self._leads(name))} aria-label={quoteattr(words)}><title>{escape(words)}</title>"
                f'<rect class="hit" {place} height="{_n(height)}" rx="4"/></a>'
            )

    def _way(self, x: float, y: float, to: float) -> None:
        self._path("way", f"M{_n(x)} {_n(y)} H{_n(to)}")

    def _path(self, kind: str, steps: str) -> None:
        self._drawn.append(f'<path class="{kind}" d="{steps}"/>')

    def _rect(self, kind: str, x: float, y: float, width: float, height: float) -> None:
        place = f'x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}"'
        self._drawn.append(f'<rect class="{kind}" {place} rx="{_ROUND[kind]}"/>')

    def _text(self, kind: str, x: float, y: float, text: str, *, anchor: str = "middle", room: float = 0) -> None:
        if room and len(text) * NAME > room:
            return
        self._drawn.append(
            f'<text class="{kind}" x="{_n(x)}" y="{_n(y)}" text-anchor={quoteattr(anchor)}>{escape(text)}</text>'
        )


def in_words(pipeline: Pipeline, say: Say = str) -> str:
    """What the picture shows, for those who cannot see it."""
    return " ".join(f"{_lane_in_words(lane, say)}." for lane in pipeline.lanes)


def _lane_in_words(lane: DrawnLane, say: Say) -> str:
    stages = [lane.source.name] if lane.source else []
    stages += [stage.name for leg in lane.before for stage in leg.stages]
    stages += [QUEUE] if lane.queue else []
    stages += [stage.name for leg in lane.after for stage in leg.stages]
    words = say("Lane %(name)s: %(stages)s") % {"name": lane.name, "stages": ", ".join(stages)}
    if lane.listeners:
        words += say("; mail comes in by %(listeners)s") % {"listeners": ", ".join(lane.listeners)}
    if lane.branches:
        either = say(" or ").join(branch.lane for branch in lane.branches)
        words += say("; then lane %(lanes)s") % {"lanes": either}
    return words


def _n(pixels: float) -> str:
    return f"{pixels:.0f}"


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
