"""What a domain of ours should have in the DNS, by the configuration and the keys that there are."""

from typing import TYPE_CHECKING

from engine.cli import opening
from engine.cli.errors import Refused, Unusable
from engine.operations.impossible import Impossible

if TYPE_CHECKING:
    from engine.config import Config
    from engine.presence.records import Host


def host_of(config: "Config", name: str, addresses: tuple[str, ...]) -> "Host":
    """What the configuration says. ``Unusable`` for a name or an address that is none."""
    from engine.operations import presence

    try:
        with opening.translated():
            return presence.host_of(config, name, addresses)
    except Impossible as error:
        raise Refused(str(error)) from error
    except ValueError as error:
        raise Unusable(str(error)) from error


async def fetch(url: str) -> str:
    """RFC 8461 3.3: no redirect is followed."""
    import httpx2  # slow to import

    try:
        async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
            answer = await client.get(url)
            answer.raise_for_status()
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise OSError(str(error) or type(error).__name__) from error
    return answer.text
