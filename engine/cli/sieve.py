"""`postroad sieve`: scripts that sort mail, checked and tried without a server; and those of accounts."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli.errors import Refused, Unusable
from engine.observe.visible import visible

if TYPE_CHECKING:
    from engine.sieve import Action, Script, ScriptError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="For programs.")


class _Commands(click.Group):
    """Loads what needs a store only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        from engine.cli import scripts

        return [*super().list_commands(ctx), *scripts.COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        found = super().get_command(ctx, cmd_name)
        if found is None:
            from engine.cli import scripts

            found = scripts.COMMANDS.get(cmd_name)
        return found


@click.group(cls=_Commands)
def sieve() -> None:
    """Scripts that sort mail (Sieve, RFC 5228)."""


@sieve.command()
@click.argument("script", type=_FILE)
@_json
def check(script: Path, as_json: bool) -> None:
    """Say what is wrong with SCRIPT, all at once, each with its line and column; else, which extensions it uses.

    Exit code 0: it can be used; 1: it cannot.
    """
    from engine.sieve import ScriptError, compile_script

    try:
        found = compile_script(_octets(script))
    except ScriptError as error:
        if not as_json:
            raise _refused(script, error) from error
        mistakes = [{"line": one.line, "column": one.column, "text": one.text} for one in error.mistakes]
        click.echo(json.dumps({"good": False, "mistakes": mistakes}))
        raise click.exceptions.Exit(1) from error
    if as_json:
        click.echo(json.dumps({"good": True, "extensions": found.requires}))
    else:
        click.echo(f"{script} is good. It uses {', '.join(found.requires) or 'no extensions'}.")


@sieve.command()
@click.argument("script", type=_FILE)
@click.argument("message", type=_FILE, metavar="MESSAGE.eml")
@click.option("--from", "sender", metavar="ADDRESS", help="The envelope's sender; else, the address in From.")
@click.option("--to", "recipient", metavar="ADDRESS", help="Whose script it is; else, the first address in To.")
@click.option("--folder", "folders", multiple=True, metavar="NAME", help="A folder that there is, besides INBOX.")
@click.option(
    "--include",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where scripts to include are: NAME.sieve.",
)
@_json
def test(script: Path, message: Path, *, include: Path | None, as_json: bool, **given: Any) -> None:
    """Print what SCRIPT would do with MESSAGE.eml, whose lines may end in CRLF or LF. Nothing is done.

    Exit code 0: so it would be; 1: the script has an error, or would end in one.
    """
    from datetime import datetime

    from engine.sieve import Alone, Octets, ScriptError, compile_script, execute

    try:
        compiled = compile_script(_octets(script))
    except ScriptError as error:
        raise _refused(script, error) from error
    letter = Octets(_with_crlf(_octets(message)))
    found = execute(
        compiled,
        letter,
        Alone(
            sender=_address(given["sender"], letter, b"from:"),
            recipient=_address(given["recipient"], letter, b"to:"),
            time=datetime.now().astimezone(),
            folders=frozenset({"INBOX", *given["folders"]}),
            scripts={} if include is None else _scripts(include),
        ),
    )
    if as_json:
        actions = [_told(action) for action in found.actions]
        click.echo(json.dumps({"actions": actions, "error": found.error}))
    else:
        for action in found.actions:
            click.echo(visible(_said(action)))
    if found.error:
        click.echo(visible(f"{script}: stopped: {found.error}"), err=True)
        raise click.exceptions.Exit(1)


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unusable(str(error)) from error


def _with_crlf(octets: bytes) -> bytes:
    from engine.authentication.fields import with_crlf

    return with_crlf(octets)


def _refused(path: Path, error: "ScriptError") -> Refused:
    """Each mistake with the line that it is in, and a mark below its place."""
    lines = path.read_text("utf-8", "replace").split("\n")
    told = []
    for mistake in error.mistakes:
        line = lines[mistake.line - 1].rstrip("\r") if mistake.line <= len(lines) else ""
        pointer = "".join("\t" if character == "\t" else " " for character in line[: mistake.column - 1])
        told.append(f"{path}:{mistake.line}:{mistake.column}: {mistake.text}\n    {line}\n    {pointer}^")
    return Refused(f"{len(told)} mistake{'s' * (len(told) != 1)} in the script.\n" + "\n".join(told))


def _address(given: str | None, letter: Any, field: bytes) -> str:
    if given is not None:
        return given.removeprefix("<").removesuffix(">")
    found = [one for each in letter.fields() if each.lower().startswith(field) for one in letter.addresses(each)]
    return str(found[0]) if found else ""


def _scripts(folder: Path) -> "dict[tuple[str, str], Script]":
    """All scripts in the folder, as personal and as global ones."""
    from engine.sieve import ScriptError, compile_script

    found = {}
    for path in sorted(folder.glob("*.sieve")):
        try:
            compiled = compile_script(_octets(path))
        except ScriptError as error:
            raise _refused(path, error) from error
        for location in ("personal", "global"):
            found[location, path.stem] = compiled
    return found


def _told(action: "Action") -> dict[str, Any]:
    """An action for programs: its name, and what it has that is not empty."""
    fields = {name: getattr(action, name) for name in action.__dataclass_fields__ if name != "key"}
    return {"action": type(action).__name__.lower()} | {
        name: value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        for name, value in fields.items()
        if value not in ("", None, (), False)
    }


def _said(action: "Action") -> str:
    from engine.sieve import Discard, FileInto, Keep, Notify, Redirect, Reject, Reply

    match action:
        case Keep(flags, header):
            return f"keep it in the inbox{_flagged(flags)}{_edited(header)}"
        case FileInto():
            place = action.folder + (f" (or the folder for {action.special_use})" if action.special_use else "")
            made = ", made if it is not there" if action.create else ""
            return f"put it into {place}{made}{_flagged(action.flags)}{_edited(action.header)}"
        case Redirect(address, header):
            return f"send it on to {address}{_edited(header)}"
        case Discard():
            return "discard it"
        case Reject(reason):
            return f"refuse it: {reason.strip()}"
        case Reply(recipient, content):
            return f"answer {recipient}, once in {action.seconds} seconds:\n{_indented(content)}"
        case Notify(recipients, content):
            return f"tell {', '.join(recipients)}:\n{_indented(content)}"


def _flagged(flags: tuple[str, ...]) -> str:
    return f" with the flags {' '.join(flags)}" if flags else ""


def _edited(header: bytes | None) -> str:
    return "" if header is None else f" with this header:\n{_indented(header)}"


def _indented(octets: bytes) -> str:
    return "\n".join(f"    {line}".rstrip() for line in octets.decode("utf-8", "replace").splitlines())
