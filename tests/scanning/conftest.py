"""The scanners, started once for all tests of a module."""

from collections.abc import Iterator

import pytest

from tests.support.scanners import Clamd, Rspamd


@pytest.fixture(scope="module")
def clamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clamd]:
    with Clamd(tmp_path_factory.mktemp("clamd") / "clamd") as running:
        yield running


@pytest.fixture(scope="module")
def rspamd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rspamd]:
    with Rspamd(tmp_path_factory.mktemp("rspamd") / "rspamd") as running:
        yield running
