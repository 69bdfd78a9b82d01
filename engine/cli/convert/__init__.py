"""`postroad convert`: a pipeline.toml, and the commands for accounts and aliases, out of Postfix's main.cf."""

import sys
from pathlib import Path

import click

from engine.cli.convert.converted import LOGIN
from engine.cli.convert.converted import convert as translated
from engine.cli.convert.main_cf import MainCf
from engine.cli.errors import Refused
from engine.observe.visible import visible

CONFIG, COMMANDS, NOTES = "pipeline.toml", "directory.sh", "notes.txt"


@click.command()
@click.argument("main_cf", metavar="MAIN_CF", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def convert(main_cf: Path, folder: Path) -> None:
    """Write pipeline.toml into DIR, made of Postfix's main.cf, or of what `postconf -n` prints (-).

    Beside it: directory.sh, which adds accounts and aliases, and notes.txt, which says what must be done by hand. Maps
    are read beside MAIN_CF, or else where it says they are. Exit code 0: nothing was left out; 1: look at the notes.
    """
    for name in (CONFIG, COMMANDS, NOTES, LOGIN):
        if (folder / name).exists():
            raise Refused(f"{folder / name} is there already, and nothing is written over: name another folder")
    text = sys.stdin.read() if str(main_cf) == "-" else main_cf.read_text(errors="replace")
    found = translated(MainCf(text, main_cf.parent))
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


def _write(path: Path, text: str, mode: int) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
    path.chmod(mode)
