"""The ways out over tables and a clock that stands still."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.abuse import Tables
from engine.config import EgressPool, EgressSource, Tenant
from engine.egress import Egress, Plan
from engine.egress.tenants import Tenants
from engine.outbound.way import Source
from engine.shaping.allowances import Allowances
from tests.support.post import Clock

NOON = 1_793_534_400.0
"""2026-11-01 12:00 in UTC."""


@pytest.fixture
def clock() -> Clock:
    return Clock(NOON)


@pytest.fixture
def tables(tmp_path: Path, clock: Clock) -> Iterator[Tables]:
    with Tables.open(tmp_path / "abuse", clock) as tables:
        yield tables


@pytest.fixture
def egress(tables: Tables, clock: Clock) -> Egress:
    return Egress(tables, Allowances(tables, clock), clock)


@pytest.fixture
def plan() -> Callable[..., Plan]:
    def made(
        sources: dict[str, EgressSource] | None = None,
        pools: dict[str, EgressPool] | None = None,
        tenants: dict[str, Tenant] | None = None,
        **more: Any,
    ) -> Plan:
        sources = sources or {}
        dialled = {name: Source(name, source.ipv4, source.ipv6) for name, source in sources.items()}
        return replace(Plan(sources, pools or {}, dialled, Tenants(tenants or {})), **more)

    return made
