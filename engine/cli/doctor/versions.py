"""Which Python and which libraries there are."""

import platform
import re
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from engine.cli.doctor.finding import Finding, Patient, good, problem
from engine.compiled import is_compiled

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?>=([0-9.]+)$")
_OLDEST = (3, 11)
_MISREADS = (3, 11, 5)
"""The first Python of 3.11 that reads every possessive group as it should (gh-106052)."""


def look(_: Patient) -> Iterator[Finding]:
    yield _python(sys.version_info[:3])
    try:
        wanted, own = requires("postroad") or [], version("postroad")
    except PackageNotFoundError:
        wanted, own = [], "without a version: it is run from its folder"
    lacking = list(_lacking(wanted))
    for name, least, found in lacking:
        yield problem(
            f"{name} {found or 'is not there'}{', but ' + least + ' is needed' if found else ''}",
            "parts of the server do not work, or not as they were tested",
            f"{sys.executable} -m pip install '{name}>={least}'",
        )
    if not lacking:
        yield good(f"Postroad {own}{' (compiled)' if is_compiled() else ''}, with libraries that are new enough")


def _python(found: tuple[int, int, int]) -> Finding:
    text = f"Python {platform.python_version() if found == sys.version_info[:3] else '.'.join(map(str, found))}"
    if found < _OLDEST:
        return problem(text, "Postroad needs 3.11", "install a newer one, and Postroad for it")
    if found < _MISREADS:
        return good(f"{text} misreads some regular expressions (gh-106052): ours avoid that, filters of yours may not")
    return good(text)


def _lacking(wanted: list[str]) -> Iterator[tuple[str, str, str]]:
    """Name, least version and version of what is too old, or not there at all."""
    for requirement in wanted:
        match = _REQUIREMENT.match(requirement)
        if match is None:  # of an extra
            continue
        name, least = match.groups()
        try:
            found = version(name)
        except PackageNotFoundError:
            yield name, least, ""
            continue
        if _numbers(found) < _numbers(least):
            yield name, least, found


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:4])
