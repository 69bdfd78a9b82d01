"""The site of a server that hosts two domains more, with those who see to them."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.support.site import BASIC, Site, site_of

ADMIN, HELPER, BOTH = "admin@one.example", "helper@one.example", "both@one.example"
ANN, BOB = "ann@one.example", "bob@two.example"


@contextlib.asynccontextmanager
async def hosting(folder: Path, text: str = BASIC) -> AsyncIterator[Site]:
    """One domain has an administrator and a helpdesk of its own; another administrator has both. No accounts else."""
    async with site_of(folder, text) as found:
        for domain in ("one.example", "two.example"):
            found.directory.add_domain(domain)
        found.staff("one.example")
        found.account(BOTH, "administrator@one.example", "administrator@two.example", password=None)
        yield found
