"""man/ is what the commands' help and docs/pipeline.md make of it now."""

import importlib.util
import subprocess
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
from doc_pages import ROOT

from engine.cli import COMMANDS
from tests.support.programs import needs

FOLDER = ROOT / "man"
PAGES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.[1-9]"))


def make_man() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_man", ROOT / "docs" / "make_man.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(page: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = ["groff", "-man", "-Tascii", "-P-cbou", *options, str(FOLDER / page)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


def test_the_pages_are_current() -> None:
    made = make_man().pages()
    assert sorted(made) == PAGES, "run `make man`"
    for page, text in made.items():
        assert (FOLDER / page).read_text() == text, f"{page}: run `make man`"


def test_every_command_has_a_page_that_the_index_names() -> None:
    index = (FOLDER / "man1" / "postroad.1").read_text()
    for name in COMMANDS:
        assert f"man1/postroad-{name}.1" in PAGES
        assert rf".BR postroad\-{name} (1)" in index


@pytest.mark.client
@needs("groff")
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_good_roff(page: str) -> None:
    assert shown(page, "-ww").stderr == ""


@pytest.mark.client
@needs("groff")
def test_what_a_reader_sees() -> None:
    queue = shown("man1/postroad-queue.1").stdout
    for words in ("postroad-queue - see", "postroad queue list [OPTIONS]", "EXAMPLES", "pipeline.toml(5)", "queue.md"):
        assert words in queue
    reference = shown("man5/pipeline.toml.5").stdout
    for words in ("[server]", "hostname (required)", 'data ("var")', "[[route]]", "[stage.relay]"):
        assert words in reference
    assert "](" not in reference
    assert "`" not in reference


def test_the_wheel_has_the_pages(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])
    inside = {name.partition(".data/data/share/man/")[2] for name in zipfile.ZipFile(wheel).namelist()}
    assert set(PAGES) <= inside
