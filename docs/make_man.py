"""Writes man/ from the commands' own help and from docs/pipeline.md: `make man`.

A page a command, with its subcommands, postroad(1) as their index, and pipeline.toml(5). Examples are from the pages.
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from engine.cli import COMMANDS, main

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "man"
REFERENCE = ROOT / "docs" / "pipeline.md"
EXAMPLES = 10
"""Of one page at most."""

FURTHER = 3
"""Pages of docs/ that one leads to."""

_DOCS = "/usr/share/doc/postroad/docs"
_INLINE = re.compile(r"`(?P<code>[^`]+)`|\*\*(?P<bold>[^*]+)\*\*|(?<![\w*])\*(?P<word>[^*\s][^*]*)\*(?![\w*])")
_LINK = re.compile(r"\[([^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*)\]\([^()\s]+\)")
_ROFF = {
    "\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq",
    "—": r"\(em", "–": r"\(en", "…": "...", "µ": "u", "×": r"\(mu", "é": r"\('e",
}  # fmt: skip


def pages() -> dict[str, str]:
    """Each page by its path below man/, in the language of man(7)."""
    context = click.Context(main, info_name="postroad")
    found = {"man1/postroad.1": _index(context), "man5/pipeline.toml.5": _reference(REFERENCE.read_text())}
    for name, words in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        found[f"man1/postroad-{name}.1"] = _page(command, name, words, context)
    return {path: "\n".join(text) + "\n" for path, text in found.items()}


# -- pages of commands


def _index(context: click.Context) -> list[str]:
    return [
        *_head("POSTROAD", 1, "postroad", "a mail server whose pipeline you can read and edit"),
        ".SH SYNOPSIS",
        ".B postroad",
        r"[\fB\-\-config\fR \fIFILE\fR] \fICOMMAND\fR ...",
        ".SH DESCRIPTION",
        "Mail travels through stages that are listed in",
        r".BR pipeline.toml (5).",
        "Each command has a page of its own:",
        r".BR postroad\-queue (1)",
        "has",
        r".BR \(dqpostroad\ queue\(dq ,",
        "and so on.",
        ".SH OPTIONS",
        *_options(main, context),
        ".SH COMMANDS",
        *(line for name, words in COMMANDS.items() for line in (".TP", rf".BR postroad\-{name} (1)", _text(words))),
        *_ending(),
        ".SH SEE ALSO",
        r".BR pipeline.toml (5),",
        rf"\fI{_DOCS}/operating.md\fR",
    ]


def _page(command: click.Command, name: str, words: str, above: click.Context) -> list[str]:
    context = click.Context(command, info_name=name, parent=above)
    lines = [*_head(f"POSTROAD-{name.upper()}", 1, f"postroad-{name}", words.rstrip("."))]
    inner = list(_commands(command, context))
    lines += [".SH SYNOPSIS", *_synopsis(inner or [(command, context)])]
    lines += [".SH DESCRIPTION", *_paragraphs(command.help or words)]
    if options := list(_options(command, context)):
        lines += [".SH OPTIONS", *options]
    if inner:
        lines.append(".SH COMMANDS")
    for one, where in inner:
        lines += [".SS " + _text(where.command_path.removeprefix(f"postroad {name} "))]
        lines += [*_paragraphs(one.help or ""), *_options(one, where)]
    if examples := _examples(name):
        lines += [".SH EXAMPLES", ".EX", *map(_text, examples), ".EE"]
    return [*lines, *_ending(), ".SH SEE ALSO", *_see_also(name, lines)]


def _head(title: str, section: int, name: str, words: str) -> list[str]:
    return [
        f'.TH {_text(title)} {section} "" "Postroad" "Postroad"',
        ".ad l",
        ".nh",
        ".SH NAME",
        rf"{_text(name)} \- {_text(words[:1].lower() + words[1:])}",
    ]


def _ending() -> list[str]:
    return [
        ".SH EXIT STATUS",
        "0: done. 1: no. 2: a wrong configuration, or wrong usage.",
        ".SH FILES",
        ".TP",
        ".I pipeline.toml",
        "In the working directory, or as",
        r".B \-\-config",
        "says: the way every message takes.",
    ]


def _commands(group: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    """All commands below a group, none for one that is none."""
    if not isinstance(group, click.Group):
        return
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield command, inner


def _synopsis(commands: list[tuple[click.Command, click.Context]]) -> Iterator[str]:
    for number, (command, context) in enumerate(commands):
        if number:
            yield ".br"
        usage = _text(" ".join(command.collect_usage_pieces(context))).replace("|", r"|\:")  # where a line may end
        yield rf"\fB{_text(context.command_path)}\fR {usage}".rstrip()


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if not isinstance(parameter, click.Option) or record is None or "--help" in parameter.opts:
            continue
        yield ".TP"
        yield ".B " + _text(record[0])
        yield _text(" ".join(record[1].split())) or r"\&"


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(text).replace("\b\n", "").split("\n\n")):
        if number:
            yield ".PP"
        yield _inline(" ".join(paragraph.split()))


def _examples(name: str) -> list[str]:
    """Lines of the pages that give this command: first one of each of its subcommands, then another one of each."""
    found: dict[str, str] = {}
    for page in _pages_by(name):
        for block in re.findall(r"^```sh[^\n]*\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", "").splitlines():
                if re.match(rf"postroad {name}( |$)", line):
                    found.setdefault(line.partition("#")[0].strip(), " ".join(line.split()))
    counts: Counter[str] = Counter()
    places: list[tuple[int, str]] = []
    for line, whole in found.items():
        subcommand = " ".join(line.split()[:3])
        places.append((counts[subcommand], whole))
        counts[subcommand] += 1
    return [whole for _, whole in sorted(places, key=lambda place: place[0])][:EXAMPLES]


def _pages_by(name: str) -> list[Path]:
    """Pages that speak of a command, those that do most often first."""
    wanted = re.compile(rf"postroad {name}\b")
    counts = {page: len(wanted.findall(page.read_text())) for page in sorted((ROOT / "docs").glob("*.md"))}
    return sorted((page for page, count in counts.items() if count), key=lambda page: -counts[page])


def _see_also(name: str, lines: list[str]) -> Iterator[str]:
    """The index, the commands that its help speaks of, and the pages that speak of it."""
    said = set(re.findall(r"postroad ([a-z]+)", " ".join(lines).replace(r"\-", "-"))) & COMMANDS.keys()
    named = ["postroad", *(f"postroad-{one}" for one in sorted(said - {name}))]
    for one in named:
        yield rf".BR {_text(one)} (1),"
    further = _pages_by(name)[:FURTHER]
    yield ".BR pipeline.toml (5)" + ("," if further else "")
    for number, page in enumerate(further, 1):
        yield rf"\fI{_text(f'{_DOCS}/{page.name}')}\fR" + ("," if number < len(further) else "")


# -- a page of docs/


def _reference(text: str) -> list[str]:
    lines = [*_head("PIPELINE.TOML", 5, "pipeline.toml", "the way that mail takes through Postroad, key by key")]
    lines.append(".SH DESCRIPTION")
    body = text.partition("\n## ")
    introduction = re.sub(r"\A# [^\n]*\n|^\| for \|.*?\n\n", "", body[0] + "\n", flags=re.MULTILINE | re.DOTALL)
    for block in _blocks(introduction + body[1] + body[2]):
        lines += _roff(block)
    return [*lines, ".SH SEE ALSO", ".BR postroad (1),", r".BR postroad\-check (1),", rf"\fI{_DOCS}/pipeline.md\fR"]


def _blocks(text: str) -> Iterator[str]:
    """Paragraphs, tables, headings and fenced blocks, each whole."""
    for number, part in enumerate(re.split(r"^(```.*?^```)$", text, flags=re.MULTILINE | re.DOTALL)):
        if number % 2:
            yield part
        else:
            yield from filter(None, map(str.strip, part.split("\n\n")))


def _roff(block: str) -> Iterator[str]:
    if block.startswith("#"):
        marks, _, title = block.partition(" ")
        yield (".SH " if len(marks) == 2 else ".SS ") + _text(title)
    elif block.startswith("```"):
        yield from (".PP", ".in +4n", ".EX")
        yield from map(_text, block.splitlines()[1:-1])
        yield from (".EE", ".in")
    elif block.startswith("|"):
        yield from _table(block)
    else:
        yield ".PP"
        yield _inline(" ".join(block.split()))


def _table(block: str) -> Iterator[str]:
    """Each row as a term, with what stands in its second column of three, and what it means."""
    rows = [re.split(r"(?<!\\)\|", line.strip("|")) for line in block.splitlines()]
    for row in rows[2:]:
        first, *between, last = (cell.strip().replace("\\|", "|") for cell in row)
        yield ".TP"
        yield _inline(first) + "".join(f" ({_inline(cell)})" for cell in between if cell != "—")
        yield _inline(last) or r"\&"


def _inline(text: str) -> str:
    """A line of a page with its fonts, links without where they lead."""
    text = _LINK.sub(r"\1", text)
    found, place = "", 0
    for match in _INLINE.finditer(text):
        font = "I" if match["word"] else "B"
        said = match["code"] or match["bold"] or match["word"]
        found += _escaped(text[place : match.start()]) + rf"\f{font}{_escaped(said.replace('`', ''))}\fR"
        place = match.end()
    return _safe(found + _escaped(text[place:]))


def _text(text: str) -> str:
    """``text`` with what roff would take for its own escaped."""
    return _safe(_escaped(text))


def _escaped(text: str) -> str:
    return "".join(_ROFF.get(character, character) for character in text)


def _safe(line: str) -> str:
    return rf"\&{line}" if line[:1] in (".", "'") else line


if __name__ == "__main__":
    made = pages()
    for stale in FOLDER.rglob("*.[15]"):
        stale.unlink()
    for path, text in made.items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(text)
