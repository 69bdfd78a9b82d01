"""`postroad convert`: a pipeline.toml, and commands for accounts and aliases, of what Postfix or Exim is told."""

import re
import socket
import sys
from pathlib import Path

import click

from engine.cli.convert import converted, exim
from engine.cli.convert.exim_conf import EximConf
from engine.cli.convert.exim_debian import SIGN, Debian
from engine.cli.convert.main_cf import MainCf
from engine.cli.convert.written import LOGIN, Converted
from engine.cli.errors import Refused
from engine.observe.visible import visible

CONFIG, COMMANDS, NOTES = "pipeline.toml", "directory.sh", "notes.txt"


@click.command()
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def convert(source: Path, folder: Path) -> None:
    """Write pipeline.toml into DIR, made of the configuration of Postfix or Exim in FILE.

    FILE is Postfix's main.cf, or what `postconf -n` prints (-); Exim's configuration, or what `exim -bP config` prints
    (-); or Debian's update-exim4.conf.conf.

    Beside it: directory.sh, which adds accounts and aliases, and notes.txt, which says what must be done by hand. Maps
    and other files are read beside FILE, or else where it says they are. Exit code 0: nothing was left out; 1: look at
    the notes.
    """
    for name in (CONFIG, COMMANDS, NOTES, LOGIN):
        if (folder / name).exists():
            raise Refused(f"{folder / name} is there already, and nothing is written over: name another folder")
    text = sys.stdin.read() if str(source) == "-" else source.read_text(errors="replace")
    found = _translated(text, source)
    folder.mkdir(parents=True, exist_ok=True)
    if found.login:
        _write(folder / LOGIN, found.login, 0o600)
    _write(folder / COMMANDS, found.commands, 0o755)
    _write(folder / NOTES, "".join(f"{note}\n" for note in found.notes), 0o644)
    _write(folder / CONFIG, found.config, 0o644)
    for note in found.notes:
        click.echo(visible(note), err=True)
    click.echo(f"Wrote {folder / CONFIG} and {folder / COMMANDS}; postroad -c {folder / CONFIG} check looks at it.")
    sys.exit(bool(found.notes))


def _translated(text: str, source: Path) -> Converted:
    """By whoever has written it."""
    if SIGN in text:
        debian = Debian(text, source.parent)
        return exim.convert(debian.conf, host=debian.host or socket.getfqdn(), login=debian.login)
    if re.search(r"^\s*begin\s+(acl|routers|transports)\b", text, re.MULTILINE):
        return exim.convert(EximConf(text, source.name, source.parent), host=socket.getfqdn())
    return converted.convert(MainCf(text, source.parent))


def _write(path: Path, text: str, mode: int) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
