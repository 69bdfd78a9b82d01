"""How a command that needs no server asks the DNS."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from engine.cli.errors import Unusable

if TYPE_CHECKING:
    from engine.net.dns import Ask

Found = TypeVar("Found")


def answered(dns: str | None, check: Callable[["Ask"], Awaitable[Found]], configured: Sequence[str] = ()) -> Found:
    """What a check finds by asking that server, else those of the configuration. ValueError becomes the command's."""
    import trio

    from engine.net.dns import Resolver

    async def checked() -> Found:
        return await check(Resolver([dns] if dns else configured).ask)

    try:
        return trio.run(checked)
    except ValueError as error:
        raise Unusable(str(error)) from error
