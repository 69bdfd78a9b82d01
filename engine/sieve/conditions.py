"""Sieve's tests: one row, one small function."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from engine.protocols.address import split
from engine.sieve import dates, flags, notify
from engine.sieve.actions import Remember
from engine.sieve.compiled import Node
from engine.sieve.errors import RunError
from engine.sieve.forms import EXTENSIONS
from engine.sieve.letter import words_of_html
from engine.sieve.run import Run
from engine.sieve.world import Part

SEPARATOR: Final = "+"
"""Between user and detail in a local part (RFC 5233 4)."""

_WEEK = 7 * 86_400
_PARTS_LIMIT = 1_000


def true(_run: Run, _node: Node) -> bool:
    return True


def false(_run: Run, _node: Node) -> bool:
    return False


def not_(run: Run, node: Node) -> bool:
    return not run.test(node.tests[0])


def allof(run: Run, node: Node) -> bool:
    return all(run.test(test) for test in node.tests)


def anyof(run: Run, node: Node) -> bool:
    return any(run.test(test) for test in node.tests)


def error(run: Run, node: Node) -> bool:
    raise RunError(run.text(node.arguments[0]))


def exists(run: Run, node: Node) -> bool:
    return all(run.fields(name) for name in run.texts(node.arguments[0]))


def size(run: Run, node: Node) -> bool:
    limit = node.arguments[0]
    assert isinstance(limit, int)
    return run.letter.size > limit if node.options["side"] == "over" else run.letter.size < limit


def header(run: Run, node: Node) -> bool:
    return run.fits(node, [run.value(field) for field in _fields(run, node)])


def address(run: Run, node: Node) -> bool:
    found: list[str] = []
    for field in _fields(run, node):
        run.spend(len(field) * 4)
        found += run.letter.addresses(field)
    return run.fits(node, _parts(node, found))


def envelope(run: Run, node: Node) -> bool:
    of = {"from": run.world.sender, "to": run.world.recipient}
    found = [of[name] for name in map(str.lower, run.texts(node.arguments[0])) if name in of]
    return run.fits(node, _parts(node, found))


def body(run: Run, node: Node) -> bool:
    # RFC 5173 6: a body test sets no match variables.
    return run.fits(node, list(_body(run, node)), sets_variables=False)


def string(run: Run, node: Node) -> bool:
    values = run.texts(node.arguments[0])
    if node.options.get("match") == "count":
        values = [value for value in values if value]  # RFC 5229 5: an empty string does not count
    return run.fits(node, values)


def hasflag(run: Run, node: Node) -> bool:
    if len(node.arguments) == 1:
        return run.fits(node, run.flags)
    names = node.arguments[0]
    assert isinstance(names, list)
    return run.fits(node, [flag for name in names for flag in flags.split([run.variable(run.text(name))])])


def date(run: Run, node: Node) -> bool:
    found = []
    for field in _chosen(node, run.fields(run.text(node.arguments[0])), run):
        moment = dates.parsed(run.value(field))
        if moment is not None:
            found.append(moment)
    return _date(run, node, found)


def currentdate(run: Run, node: Node) -> bool:
    return _date(run, node, [run.world.now()])


def mailboxexists(run: Run, node: Node) -> bool:
    return all(run.world.folder_exists(name) for name in run.texts(node.arguments[0]))


def mailboxidexists(run: Run, node: Node) -> bool:
    return all(run.world.folder_id_exists(name) for name in run.texts(node.arguments[0]))


def specialuse_exists(run: Run, node: Node) -> bool:
    folder = run.text(node.arguments[0]) if len(node.arguments) > 1 else None
    return all(run.world.has_special_use(use, folder) for use in run.texts(node.arguments[-1]))


def duplicate(run: Run, node: Node) -> bool:
    name = run.option(node, "header", "Message-ID")
    if "uniqueid" in node.options:
        unique = run.option(node, "uniqueid")
    else:
        fields = run.fields(name)
        unique = run.value(fields[0]) if fields else ""
    if not unique:
        return False
    run.spend(len(unique))
    # RFC 7352 3.1: a handle keeps ids apart, and so does where they are from.
    kind = "id" if "uniqueid" in node.options else name.lower()
    key = f"duplicate\0{run.option(node, 'handle')}\0{kind}\0{unique}"
    seen = run.world.was_seen(key)
    again = "last" in node.options
    if not seen or again:
        seconds = min(run.number(node, "seconds", _WEEK), run.limits.longest_duplicate)
        remembered = Remember(key, seconds, again)
        if remembered not in run.remember:
            run.remember.append(remembered)
    return seen


def environment(run: Run, node: Node) -> bool:
    value = run.world.environment(run.text(node.arguments[0]).lower())
    return value is not None and run.fits(node, [value])


def ihave(run: Run, node: Node) -> bool:
    return EXTENSIONS.issuperset(run.texts(node.arguments[0]))


def valid_notify_method(run: Run, node: Node) -> bool:
    return all(notify.is_valid(method) for method in run.texts(node.arguments[0]))


def notify_method_capability(run: Run, node: Node) -> bool:
    # RFC 5436 2.8: whether somebody is there to read a mail cannot be known.
    known = notify.is_valid(run.text(node.arguments[0])) and run.text(node.arguments[1]).lower() == "online"
    return known and run.fits(node, ["maybe"])


def spamtest(run: Run, node: Node) -> bool:
    percent = run.world.spam_percent()
    if percent is None:
        return run.fits(node, ["0"])  # RFC 5235 2.2: not looked at
    percent = min(100.0, max(0.0, percent))
    return run.fits(node, [str(round(percent)) if "percent" in node.options else str(1 + int(percent * 9 / 100))])


def virustest(run: Run, node: Node) -> bool:
    return run.fits(node, [str(run.world.virus_level())])


def _fields(run: Run, node: Node) -> Iterator[bytes]:
    for name in run.texts(node.arguments[0]):
        yield from _chosen(node, run.fields(name), run)


def _chosen(node: Node, fields: Sequence[bytes], run: Run) -> Sequence[bytes]:
    """The one field that `:index` means (RFC 5260 6); all, where it is not given."""
    if "index" not in node.options:
        return fields
    number = run.number(node, "index")
    if not 1 <= number <= len(fields):
        return ()
    return [fields[-number if "last" in node.options else number - 1]]


def _parts(node: Node, addresses: Sequence[str]) -> list[str]:
    part = node.options.get("part", "all")
    found = []
    for one in addresses:
        local, domain = split(one)
        user, separator, detail = _plain(local).partition(SEPARATOR)
        if part == "detail" and not separator:
            continue  # RFC 5233 4: there is none, not even an empty one
        found.append(
            {"all": one, "localpart": _plain(local), "domain": domain, "user": user, "detail": detail}[str(part)]
        )
    return found


def _plain(local: str) -> str:
    return local[1:-1].replace("\\", "") if local.startswith('"') else local


def _body(run: Run, node: Node) -> Iterator[str]:
    limit = run.limits.text
    run.spend(min(run.letter.size, limit))
    transform = node.options.get("transform", "text")
    if transform == "raw":
        yield run.letter.body(limit)
        return
    wanted = run.texts(node.options["content"]) if transform == "content" else ["text"]
    for number, part in enumerate(run.letter.parts(limit)):
        if number >= _PARTS_LIMIT:
            raise RunError("the message has too many parts")
        if any(_is_of(part, kind) for kind in wanted):
            run.spend(len(part.text))
            yield words_of_html(part.text) if transform == "text" and part.type == "text/html" else part.text


def _is_of(part: Part, wanted: str) -> bool:
    """RFC 5173 5.2: "" is every type, "text" all of its kind; what begins or ends with a slash, or has two, is none."""
    wanted = wanted.lower()
    if not wanted:
        return True
    return part.type == wanted if "/" in wanted else part.type.partition("/")[0] == wanted


def _date(run: Run, node: Node, moments: list[datetime]) -> bool:
    name = run.text(node.arguments[-2]).lower()
    part = dates.PARTS.get(name)
    if part is None:
        raise RunError(f'"{name}" is no part of a date')
    if node.options.get("whose") != "originalzone":
        zone = dates.zone(run.option(node, "zone")) if "zone" in node.options else run.world.now().tzinfo
        if zone is None:
            raise RunError("a time zone is written as +0200")
        moments = [there for moment in moments if (there := dates.moved(moment, zone)) is not None]
    return run.fits(node, [part(moment) for moment in moments])


TESTS: Mapping[str, Callable[[Run, Node], bool]] = {
    "true": true,
    "false": false,
    "not": not_,
    "allof": allof,
    "anyof": anyof,
    "error": error,
    "exists": exists,
    "size": size,
    "header": header,
    "address": address,
    "envelope": envelope,
    "body": body,
    "string": string,
    "hasflag": hasflag,
    "date": date,
    "currentdate": currentdate,
    "mailboxexists": mailboxexists,
    "mailboxidexists": mailboxidexists,
    "specialuse_exists": specialuse_exists,
    "duplicate": duplicate,
    "environment": environment,
    "ihave": ihave,
    "valid_notify_method": valid_notify_method,
    "notify_method_capability": notify_method_capability,
    "spamtest": spamtest,
    "virustest": virustest,
}
