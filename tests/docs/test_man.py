"""man/postroad.1 is what the commands' help makes of it now."""

import importlib.util
import subprocess
from types import ModuleType

import pytest
from doc_pages import ROOT

from tests.support.programs import needs


def make_man() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_man", ROOT / "docs" / "make_man.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_current() -> None:
    assert (ROOT / "man" / "postroad.1").read_text() == make_man().manual(), "run `make man`"


@pytest.mark.client
@needs("groff")
def test_the_page_is_good_roff() -> None:
    page = (ROOT / "man" / "postroad.1").read_bytes()
    shown = subprocess.run(["groff", "-man", "-Tascii", "-P-cbou", "-ww"], input=page, capture_output=True, check=True)
    assert shown.stderr == b""
    assert b"postroad account add" in shown.stdout
