"""DKIM and ARC of one message: one pass over the body, questions side by side."""

from collections.abc import Iterable, Iterator

import trio
from trio.testing import MockClock

from engine.authentication.arc import ArcResult, validate_arc
from engine.authentication.dkim import DkimResult, sign, verify
from engine.authentication.fields import Fields, split_message
from engine.authentication.signatures import Signatures
from engine.net.dns import Answer, Ask, Outcome
from tests.authentication.letters import BODY, NOW, chain, ed25519_signer, letter, records, rsa_signer
from tests.authentication.zone import Asked


def message() -> bytes:
    header = chain(2)
    own = sign(Fields.parse(b"".join(header)), [BODY], [rsa_signer(), ed25519_signer()], NOW)
    return own + letter(header)


async def verified(fields: Fields, body: Iterable[bytes], ask: Ask) -> tuple[tuple[DkimResult, ...], ArcResult]:
    found = Signatures(fields)
    await found.check(body, ask, NOW)
    return found.dkim, found.arc


async def test_both() -> None:
    fields, body = split_message([message()])
    whole = b"".join(body)
    once: Iterator[bytes] = iter([whole])
    signatures, chain = await verified(fields, once, Asked(records()))
    assert signatures == await verify(fields, [whole], Asked(records()), NOW)
    assert chain == await validate_arc(fields, [whole], Asked(records()), NOW)
    assert ([found.result for found in signatures], chain.result) == (["pass", "pass"], "pass")


async def test_neither() -> None:
    signatures, chain = await verified(Fields.parse(b"From: a\r\n"), [b"b\r\n"], Asked({}))
    assert (signatures, chain.result) == ((), "none")


async def test_questions_are_asked_at_the_same_time(autojump_clock: MockClock) -> None:
    async def slow(name: str, _: str) -> Outcome[bytes]:
        await trio.sleep(1)
        return Answer((records()[name],), 0.0)

    fields, body = split_message([message()])
    signatures, chain = await verified(fields, body, slow)
    assert ([found.result for found in signatures], chain.result) == (["pass", "pass"], "pass")
    assert trio.current_time() == 2  # the newest message signature of the chain, then all others
