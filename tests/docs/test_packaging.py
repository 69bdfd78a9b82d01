"""What packaging/ and the Containerfile name is there, and is what the commands and the pages say."""

import json
import re
import shlex

import click
import pytest
from click.testing import CliRunner
from doc_pages import ROOT, sections

from engine.cli import main
from engine.cli.init.answers import Acme, Answers
from engine.cli.init.template import SHIPPED, filled

PAGE = ROOT / "docs" / "installing.md"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Containerfile, in order, each in one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines if line)]


def of(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def understood(name: str, *arguments: str) -> None:
    """Have the command take these arguments, without doing anything. click's UsageError."""
    context = click.Context(main, info_name="postroad")
    command = main.get_command(context, name)
    assert command is not None, name
    if isinstance(command, click.Group):
        inner = command.get_command(context, arguments[0])
        assert inner is not None, arguments
        command, arguments = inner, arguments[1:]
    command.make_context(name, list(arguments), parent=context)


def test_the_container_is_built_in_two_steps_and_runs_as_nobody_special() -> None:
    assert [rest.partition(" AS ")[2] for rest in of("FROM")] == ["build", ""]
    words = [word for word, _ in instructions()]
    assert words.index("USER") > max(number for number, word in enumerate(words) if word == "RUN")
    assert of("USER") == ["postroad"]
    assert "--uid 5025" in of("RUN")[-1]
    assert json.loads(of("VOLUME")[0]) == ["/etc/postroad", "/var/lib/postroad"]


def test_what_the_container_starts_are_commands_of_ours() -> None:
    begin, usual = json.loads(of("ENTRYPOINT")[0]), json.loads(of("CMD")[0])
    health = json.loads(of("HEALTHCHECK")[0].partition("CMD ")[2])
    for line in ([*begin, *usual], health):
        assert line[:3] == ["postroad", "-c", "/etc/postroad/pipeline.toml"]
        understood(*line[3:])


def test_the_ports_of_the_container_are_those_that_init_writes() -> None:
    answers = Answers(
        hostname="h.test", domains=("d.test",), account="a@d.test", password="", made=False, tls=Acme()
    )  # fmt: skip
    text = filled((SHIPPED / "pipeline.toml").read_text(), answers)
    assert set(map(int, of("EXPOSE")[0].split())) == set(map(int, re.findall(r'^\w+ = "\*:(\d+)"', text, re.MULTILINE)))


def test_what_the_package_is_made_of_is_there() -> None:
    build = (ROOT / "packaging" / "debian" / "build.py").read_text()
    named = re.findall(r'^    "([\w./-]+)": "', build, re.MULTILINE)
    assert len(named) == 5
    for path in named:
        assert (ROOT / path).is_file(), path
    assert (ROOT / "man" / "man1" / "postroad.1").is_file()  # its folder goes in as a whole
    for name in ("postinst", "prerm", "postrm", "control"):
        assert (ROOT / "packaging" / "debian" / name).is_file()


def test_the_page_names_every_file_of_the_units() -> None:
    told = sections(PAGE)["systemd"]
    for path in (ROOT / "packaging" / "systemd").iterdir():
        assert f"`{path.name}`" in told


@pytest.mark.parametrize("command", ["init", "doctor"])
def test_the_page_names_every_option(command: str) -> None:
    said = CliRunner().invoke(main, [command, "--help"]).output
    text = PAGE.read_text()
    for option in set(re.findall(r"--[a-z-]+", said)) - {"--help", "--config"}:
        assert option in text, option


def test_the_examples_of_the_page_are_commands_of_ours() -> None:
    lines = re.findall(r"^postroad (?:-c \S+ )?(.*?)(?:  #.*)?$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) > 3
    for line in lines:
        understood(*shlex.split(line))
