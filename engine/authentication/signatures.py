"""DKIM and ARC of a message side by side: one pass over its body serves both."""

from collections.abc import Iterable

import trio

from engine.authentication import arc, dkim
from engine.authentication.canonical import digest_body
from engine.authentication.fields import Fields
from engine.net.dns import Ask


async def verify_both(
    fields: Fields, body: Iterable[bytes], ask: Ask, now: float
) -> tuple[tuple[dkim.DkimResult, ...], arc.ArcResult]:
    """What ``dkim.verify`` and ``arc.validate_arc`` say."""
    signatures, chain = dkim.Check(fields, now), arc.Check(fields, now)
    digests = await digest_body(body, signatures.forms | chain.forms)
    found: list[tuple[dkim.DkimResult, ...]] = []

    async def check_signatures() -> None:
        found.append(await signatures.results(digests, ask))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(check_signatures)
        result = await chain.result(digests, ask)
    return found[0], result
