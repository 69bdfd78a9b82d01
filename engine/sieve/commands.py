"""Sieve's commands: one row, one small function. `if` and its like are where blocks are run."""

from collections.abc import Callable, Iterable, Mapping

from engine.mime.folding import folded
from engine.protocols.address import Malformed, parse_path
from engine.sieve import flags, notify, vacation
from engine.sieve.actions import Discard, FileInto, Keep, Redirect, Reject
from engine.sieve.checks import FIELD_NAME
from engine.sieve.compiled import Node
from engine.sieve.errors import RunError
from engine.sieve.run import Flow, Run
from engine.sieve.strings import encode_url, first, quote_regex, quote_wildcards

PROTECTED = frozenset({"received", "auto-submitted"})
"""Header fields that no script removes (RFC 5293 4): without them loops are not seen."""


def stop(_run: Run, _node: Node) -> Flow:
    return Flow.STOP


def keep(run: Run, node: Node) -> None:
    run.act(Keep(_flags(run, node), run.header))


def discard(run: Run, _node: Node) -> None:
    run.act(Discard())


def redirect(run: Run, node: Node) -> None:
    address = run.text(node.arguments[0])
    if isinstance(parse_path(f"<{address}>", null_ok=False, utf8=True), Malformed):
        raise RunError(f'"{address}" is no address to redirect to')
    run.act(Redirect(address, run.header), keeps="copy" in node.options)


def fileinto(run: Run, node: Node) -> None:
    folder = run.text(node.arguments[0])
    if not folder or not folder.isprintable():
        raise RunError(f"{folder!r} is no name of a folder")
    run.act(
        FileInto(
            folder,
            _flags(run, node),
            "create" in node.options,
            run.option(node, "specialuse"),
            run.option(node, "mailboxid"),
            run.header,
        ),
        keeps="copy" in node.options,
    )


def reject(run: Run, node: Node) -> None:
    run.act(Reject(run.text(node.arguments[0]), in_protocol=node.name == "ereject"))


def set_(run: Run, node: Node) -> None:
    name, value = str(node.arguments[0]), run.text(node.arguments[1])
    given = {*node.options, *(one for one in node.options.values() if isinstance(one, str))}
    for change in _CHANGES:  # in the order of their precedence, RFC 5229 4.1
        if change in given:
            value = _CHANGES[change](value)
    run.set(name, value)


def setflag(run: Run, node: Node) -> None:
    _put_flags(run, node, flags.split(run.texts(node.arguments[-1])))


def addflag(run: Run, node: Node) -> None:
    _put_flags(run, node, flags.split([*_flags_of(run, node), *run.texts(node.arguments[-1])]))


def removeflag(run: Run, node: Node) -> None:
    _put_flags(run, node, flags.without(_flags_of(run, node), flags.split(run.texts(node.arguments[-1]))))


def vacation_(run: Run, node: Node) -> None:
    vacation.answer(run, node)


def addheader(run: Run, node: Node) -> None:
    name, value = run.text(node.arguments[0]), run.text(node.arguments[1]).strip(" \t\r\n")
    if not FIELD_NAME.fullmatch(name):
        raise RunError(f"{name!r} is no name of a header field")
    run.add_field(folded(name, value), last="last" in node.options)


def deleteheader(run: Run, node: Node) -> None:
    name = run.text(node.arguments[0])
    fields = run.fields(name)
    if name.lower() in PROTECTED or not fields:
        return
    if "index" in node.options:
        number = run.number(node, "index")
        fields = fields[::-1] if "last" in node.options else fields
        fields = fields[number - 1 : number]
    if len(node.arguments) > 1:
        if node.options.get("match") == "count":
            fields = fields if run.fits(node, [""] * len(fields)) else []
        else:
            fields = [one for one in fields if run.fits(node, [run.value(one)], sets_variables=False)]
    if fields:
        run.delete_fields(fields)


def include(run: Run, node: Node) -> Flow | None:
    name = run.text(node.arguments[0])
    location = "global" if node.options.get("location") == "global" else "personal"
    if "once" in node.options and (location, name) in run.included:
        return None
    run.include()
    script = run.world.script(name, "global" if location == "global" else "personal")
    if script is None:
        if "optional" in node.options:
            return None
        raise RunError(f'there is no {location} script "{name}" to include')
    run.included.add((location, name))
    # RFC 6609 3.4: what is not global belongs to one script.
    variables, matched, has_variables = run.variables, run.matched, run.has_variables
    run.variables, run.matched, run.has_variables = {}, (), "variables" in script.requires
    run.depth += 1
    flow = run.block(script.commands)
    run.depth -= 1
    run.variables, run.matched, run.has_variables = variables, matched, has_variables
    return flow if flow is Flow.STOP else None


def return_(_run: Run, _node: Node) -> Flow:
    return Flow.RETURN


def global_(_run: Run, _node: Node) -> None:
    """The compiler has given these variables their names."""


def error(run: Run, node: Node) -> None:
    raise RunError(run.text(node.arguments[0]))


def notify_(run: Run, node: Node) -> None:
    notify.notify(run, node)


_CHANGES: Mapping[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "lowerfirst": lambda value: first(value, "lowerfirst"),
    "upperfirst": lambda value: first(value, "upperfirst"),
    "quotewildcard": quote_wildcards,
    "quoteregex": quote_regex,
    "encodeurl": encode_url,
    "length": lambda value: str(len(value)),
}


def _flags(run: Run, node: Node) -> tuple[str, ...]:
    return flags.split(run.texts(node.options["flags"])) if "flags" in node.options else run.flags


def _flags_of(run: Run, node: Node) -> Iterable[str]:
    return run.flags if len(node.arguments) == 1 else flags.split([run.variable(str(node.arguments[0]))])


def _put_flags(run: Run, node: Node, put: tuple[str, ...]) -> None:
    if len(node.arguments) == 1:
        run.flags = put
    else:
        run.set(str(node.arguments[0]), " ".join(put))


COMMANDS: Mapping[str, Callable[[Run, Node], Flow | None]] = {
    "stop": stop,
    "keep": keep,
    "discard": discard,
    "redirect": redirect,
    "fileinto": fileinto,
    "reject": reject,
    "ereject": reject,
    "set": set_,
    "setflag": setflag,
    "addflag": addflag,
    "removeflag": removeflag,
    "vacation": vacation_,
    "addheader": addheader,
    "deleteheader": deleteheader,
    "include": include,
    "return": return_,
    "global": global_,
    "error": error,
    "notify": notify_,
}
