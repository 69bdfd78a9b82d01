"""DKIM and ARC of a message side by side: one pass over its body serves both."""

from collections.abc import Iterable

from engine.authentication import arc, dkim
from engine.authentication.arc import ArcResult
from engine.authentication.canonical import digest_body
from engine.authentication.dkim import DkimResult
from engine.authentication.fields import Field, Fields
from engine.authentication.outcome import Result
from engine.authentication.tags import parse_tags
from engine.net.dns import Ask, side_by_side

LATE = "there was no time left"


class Signatures:
    """What ``dkim.verify`` and ``arc.validate_arc`` say of a message: each result once it is there, until then LATE."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._dkim: tuple[DkimResult, ...] | None = None
        self.arc = ArcResult(Result.FAIL, LATE) if fields.named(arc.SEAL) else ArcResult(Result.NONE)

    @property
    def dkim(self) -> tuple[DkimResult, ...]:
        if self._dkim is None:
            return tuple(map(_late, self._fields.named(dkim.FIELD)[: dkim.SIGNATURES_LIMIT]))
        return self._dkim

    async def check(self, body: Iterable[bytes], ask: Ask, now: float) -> None:
        """``body``, ``ask`` and ``now`` as for ``dkim.verify``."""
        signatures, chain = dkim.Check(self._fields, now), arc.Check(self._fields, now)
        digests = await digest_body(body, signatures.forms | chain.forms)

        async def check_dkim() -> None:
            self._dkim = await signatures.results(digests, ask)

        async def check_arc() -> None:
            self.arc = await chain.result(digests, ask)

        if chain.forms:
            await side_by_side([check_dkim, check_arc], ask)
        else:  # nothing will be asked about a chain, so that there is no need for tasks
            await check_arc()
            await check_dkim()


def _late(signature: Field) -> DkimResult:
    try:
        tags = parse_tags(signature.value)
    except ValueError:
        tags = {}
    return DkimResult(Result.TEMPERROR, LATE, tags.get("d", ""), tags.get("s", ""))
