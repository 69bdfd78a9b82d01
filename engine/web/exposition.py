"""Measures as text, in the two forms that Prometheus reads: its own 0.0.4, and OpenMetrics 1.0.

https://prometheus.io/docs/instrumenting/exposition_formats/,
https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
"""

from collections.abc import Iterable, Iterator, Mapping

from engine.web.collecting import Collected

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_UP = ("postroad_up", "gauge", "Whether the worker answered in time.")
_PARTS = ("_bucket", "_sum", "_count")
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_ESCAPED_HELP = str.maketrans({"\\": r"\\", "\n": r"\n"})
_ESCAPED_OPEN_HELP = _ESCAPED


def wants_open(accept: str) -> bool:
    """Whether a client that sends this Accept field reads OpenMetrics."""
    return "application/openmetrics-text" in accept.lower()


def render(collected: Collected, *, open_metrics: bool) -> str:
    """All of it. Each sample says whose it is by its ``worker``, and ``postroad_up`` tells who did not answer."""
    lines = list(_family(*_UP, _ups(collected), open_metrics=open_metrics))
    gathered = _gathered(collected)
    for name in sorted({*collected.families, *gathered}):  # what has happened never yet is told as well
        kind, meaning = collected.families.get(name, ("untyped", ""))
        lines += _family(name, kind, meaning, gathered.get(name, ()), open_metrics=open_metrics)
    if open_metrics:
        lines.append("# EOF")
    return "\n".join(lines) + "\n"


def _ups(collected: Collected) -> Iterator[str]:
    for worker in collected.expected:
        yield _line(_UP[0], [("worker", worker)], worker in collected.samples)


def _gathered(collected: Collected) -> Mapping[str, list[str]]:
    """The lines of each family, of all workers."""
    found: dict[str, list[str]] = {}
    for worker, samples in collected.samples.items():
        for name, labels, value in samples:
            family = _family_of(name, collected)
            found.setdefault(family, []).append(_line(name, [("worker", worker), *labels], value))
    return found


def _family_of(name: str, collected: Collected) -> str:
    """A histogram has samples of three names."""
    for part in _PARTS:
        whole = name.removesuffix(part)
        if whole != name and collected.families.get(whole, ("", ""))[0] == "histogram":
            return whole
    return name


def _family(name: str, kind: str, meaning: str, lines: Iterable[str], *, open_metrics: bool) -> Iterator[str]:
    if open_metrics:
        name = name.removesuffix("_total") if kind == "counter" else name
        kind = "unknown" if kind == "untyped" else kind
    if meaning:
        yield f"# HELP {name} {meaning.translate(_ESCAPED_OPEN_HELP if open_metrics else _ESCAPED_HELP)}"
    yield f"# TYPE {name} {kind}"
    yield from lines


def _line(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    named = ",".join(f'{label}="{said.translate(_ESCAPED)}"' for label, said in labels)
    return f"{name}{{{named}}} {_number(value)}"


def _number(value: float) -> str:
    """As Go's strconv reads it; a whole number without a point."""
    if isinstance(value, float) and not value.is_integer():
        return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))
    return str(int(value))
