"""How it goes with certificates is known: what has failed, why, when it is tried again; and it can be hurried."""

import time
from pathlib import Path

import pytest

from engine.config import parse
from engine.runtime.renewal import Renewal
from tests.support.site import BASIC

NOBODY = '[acme]\ndirectory = "https://127.0.0.1:1/directory"\ndomains = ["mx.example.org"]\n'


@pytest.fixture
def renewal(tmp_path: Path) -> Renewal:
    text = BASIC.replace("[listen]", '[listen]\nacme_http = "127.0.0.1:80"') + NOBODY
    config = parse(text, tmp_path / "pipeline.toml")
    return Renewal(lambda: config)


async def test_a_failure_is_known_and_it_is_tried_again_when_somebody_asks(renewal: Renewal) -> None:
    assert renewal.standings() == []
    assert not renewal.hurry("mx.example.org")
    await renewal.look()
    (standing,) = renewal.standings()
    assert (standing.folder, standing.names, standing.failures) == ("mx.example.org", ("mx.example.org",), 1)
    assert standing.error
    assert standing.failed <= time.time() < standing.again
    await renewal.look()
    assert renewal.standings() == [standing]  # it is not time yet
    assert renewal.hurry("mx.example.org")
    assert not renewal.hurry("other.example.org")
    await renewal.look()
    assert renewal.standings()[0].failures == 2
    assert renewal.standings()[0].again > standing.again
