"""Sets of our own: what is in them, and that they hold."""

from collections.abc import Sequence

import pytest

from engine.authentication.arc import validate_arc
from engine.authentication.fields import Fields, split_message
from engine.authentication.outcome import Result
from engine.authentication.reported import reported
from engine.authentication.sealer import seal
from engine.authentication.signer import Signer
from engine.authentication.tags import parse_tags
from tests.authentication.letters import (
    BODY,
    HEADER,
    NOW,
    chain,
    ed25519_signer,
    letter,
    records,
    rsa_signer,
    sealed,
)
from tests.authentication.zone import Asked

RESULTS = "example.com; spf=pass smtp.mailfrom=example.net;\r\n dkim=pass header.d=example.net"


def set_on(header: Sequence[bytes], chain: Result, signer: Signer | None = None) -> bytes:
    fields, body = split_message([letter(header)])
    return seal(fields, body, signer or rsa_signer(), RESULTS, chain=chain, now=NOW)


async def validated(octets: bytes) -> tuple[Result, int | None]:
    fields, body = split_message([octets])
    found = await validate_arc(fields, body, Asked(records()), NOW)
    return found.result, found.oldest_pass


@pytest.mark.parametrize("signer", [rsa_signer(), ed25519_signer()], ids=["rsa", "ed25519"])
@pytest.mark.parametrize("sets", [0, 1, 2, 49])
async def test_a_set_holds(signer: Signer, sets: int) -> None:
    header = chain(sets)
    octets = set_on(header, Result.PASS if sets else Result.NONE, signer)
    seal, signature, results = Fields.parse(octets)
    assert (seal.name, signature.name, results.name) == (
        "arc-seal",
        "arc-message-signature",
        "arc-authentication-results",
    )
    tags = parse_tags(seal.value)
    assert list(tags) == ["i", "a", "d", "s", "t", "cv", "b"]
    assert (tags["i"], tags["cv"], tags["t"]) == (str(sets + 1), "pass" if sets else "none", str(NOW))
    assert results.value.decode() == f" i={sets + 1}; {RESULTS}"
    assert await validated(octets + letter(header)) == (Result.PASS, 0)
    assert await validated(octets + letter(header).replace(b"Dinner", b"Supper")) == (Result.FAIL, None)


def test_a_signature_covers_no_field_of_others_along_the_way() -> None:
    header = [b"DKIM-Signature: v=1\r\n", b"DKIM-Signature: v=2\r\n", b"Authentication-Results: x\r\n", *chain(1)]
    signature = Fields.parse(set_on(header, Result.PASS)).named("arc-message-signature")[0]
    names = [name.strip() for name in parse_tags(signature.value)["h"].split(":")]
    assert names.count("dkim-signature") == 2
    assert names.count("from") == 2
    assert not {"authentication-results", "received", "return-path"} & set(names)
    assert not any(name.startswith("arc-") for name in names)


def test_a_chain_that_fails_is_said_to_by_a_seal_of_its_own_set_alone() -> None:
    """RFC 8617 5.1.2."""
    good, spoiled = chain(2), [field for field in chain(2) if not field.startswith(b"ARC-Seal: i=1")]
    first, second = (Fields.parse(set_on(header, Result.FAIL)) for header in (good, spoiled))
    tags = parse_tags(first.named("arc-seal")[0].value)
    assert (tags["i"], tags["cv"]) == ("3", "fail")
    assert first.named("arc-seal") == second.named("arc-seal")


def test_a_set_that_cannot_be_read() -> None:
    octets = set_on([b"ARC-Seal: i=a\r\n", b"ARC-Seal: nonsense\r\n", *HEADER], Result.FAIL)
    assert octets.startswith(b"ARC-Seal: i=1; ")


def test_a_chain_that_ended() -> None:
    assert set_on(sealed(chain(1), 2, seal={"cv": "fail"}), Result.FAIL) == b""
    assert set_on(chain(50), Result.PASS) == b""


def test_what_cannot_be() -> None:
    for header, status in ((HEADER, Result.PASS), (HEADER, Result.FAIL), (chain(1), Result.NONE)):
        with pytest.raises(ValueError, match="cannot be"):
            set_on(header, status)
    with pytest.raises(ValueError, match="cannot be"):
        set_on(chain(1), Result.TEMPERROR)
    with pytest.raises(ValueError, match="not one field of each kind"):
        set_on(chain(2)[1:], Result.PASS)
    fields, body = split_message([letter(HEADER)])
    with pytest.raises(ValueError, match="line break"):
        seal(fields, body, rsa_signer(), "a; b\r\nTo: c", chain=Result.NONE, now=NOW)


MERGED = "example.com; arc=none;\r\n spf=pass;\r\n dkim=pass (1024-bit; key) header.i=@d1.example"


@pytest.mark.parametrize(
    ("values", "results", "chain"),
    [
        ([], "example.com; none", None),
        (["other.example; arc=pass"], "example.com; none", None),
        (["example.com; none"], "example.com; none", None),
        (["example.com"], "example.com; none", None),
        (["example.com 1; spf=pass"], "example.com; spf=pass", None),
        (['(c) "EXAMPLE.com" 1 (c); Arc = Pass (2 sets);'], "example.com; Arc = Pass (2 sets)", Result.PASS),
        (["example.com; arc=fail; spf=pass"], "example.com; arc=fail; spf=pass", Result.FAIL),
        (["example.com; arc=pass", "example.com; arc=pass"], "example.com; arc=pass;\r\n arc=pass", Result.PASS),
        (["example.com; arc=pass", "example.com; arc=fail"], "example.com; arc=pass;\r\n arc=fail", None),
        (["example.com; arc=maybe"], "example.com; arc=maybe", None),
        (["example.com; x=pass (; arc=pass)"], "example.com; x=pass (; arc=pass)", None),
        (['example.com; x=pass a.b="; arc=pass"'], 'example.com; x=pass a.b="; arc=pass"', None),
        (
            [
                "example.com; arc=none",
                "example.com; spf=pass",
                "nobody.example.com; arc=fail",
                "example.com; dkim=pass (1024-bit; key) header.i=@d1.example",
            ],
            MERGED,
            Result.NONE,
        ),
        (["(" * 1000], "example.com; none", None),
    ],
)
def test_reported(values: list[str], results: str, chain: Result | None) -> None:
    fields = Fields.parse("".join(f"Authentication-Results: {value}\r\n" for value in values).encode())
    assert reported(fields, "example.com") == (results, chain)


def test_body_of_the_letters_is_in_chunks_too() -> None:
    fields, _ = split_message([letter(HEADER)])
    whole, pieces = (
        seal(fields, body, ed25519_signer(), RESULTS, chain=Result.NONE, now=NOW)
        for body in ([BODY], [BODY[place : place + 1] for place in range(len(BODY))])
    )
    assert whole == pieces
