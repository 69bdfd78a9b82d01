"""Writes man/postroad.1 from the commands' own help: `make man`."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from engine.cli import main

PAGE = Path(__file__).parents[1] / "man" / "postroad.1"


def manual() -> str:
    """The page, in the language of man(7)."""
    context = click.Context(main, info_name="postroad")
    lines = [
        '.TH POSTROAD 1 "" "Postroad" "User commands"',
        ".SH NAME",
        r"postroad \- a mail server whose pipeline you can read and edit",
        ".SH SYNOPSIS",
        ".B postroad",
        r"[\fB\-\-config\fR \fIFILE\fR] \fICOMMAND\fR ...",
        ".SH OPTIONS",
        *_options(main, context),
        ".SH COMMANDS",
        *_commands(main, context),
        ".SH EXIT STATUS",
        "0: done. 1: no. 2: a wrong configuration, or wrong usage.",
        ".SH FILES",
        ".TP",
        r".I pipeline.toml",
        "The way every message takes. All its keys are in docs/pipeline.md.",
    ]
    return "\n".join(lines) + "\n"


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
            continue
        usage = " ".join(command.collect_usage_pieces(inner))
        yield ".SS " + _text(f"{inner.command_path} {usage}")
        yield from _paragraphs(command.help or "")
        yield from _options(command, inner)


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if not isinstance(parameter, click.Option) or record is None or "--help" in parameter.opts:
            continue
        yield ".TP"
        yield ".B " + _text(record[0])
        yield _text(" ".join(record[1].split()))


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(text).split("\n\n")):
        if number:
            yield ".PP"
        yield _text(" ".join(paragraph.split()))


def _text(text: str) -> str:
    """``text`` with what roff would take for its own escaped."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + escaped if escaped[:1] in (".", "'") else escaped


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(manual())
