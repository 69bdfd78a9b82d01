"""Signatures of others: the examples of the RFCs and real ones."""

import pytest

from engine.authentication.dkim import DkimResult, verify
from engine.authentication.fields import split_message
from engine.authentication.outcome import Result
from tests.authentication.zone import Asked, message

NOW = 1_800_000_000
RECORDS = {
    "brisbane._domainkey.example.com": b"v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkM"
    b"oGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
    b"tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
    "brisbane._domainkey.football.example.com": b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": b"v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiG"
    b"s5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4h"
    b"stT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
}


async def verified(octets: bytes, records: dict[str, bytes] = RECORDS) -> tuple[DkimResult, ...]:
    fields, body = split_message([octets])
    return await verify(fields, body, Asked(records), NOW)


async def test_rfc_6376_appendix_a() -> None:
    (result,) = await verified(message("rfc6376-a.eml"))
    assert result.result is Result.PASS
    assert (result.domain, result.selector, result.identity) == ("example.com", "brisbane", "joe@football.example.com")
    assert (result.algorithm, result.bits, result.testing, result.unsigned) == ("rsa-sha256", 1024, False, 0)
    assert result.signature.startswith("AuUoFEfDxTDkHlLX")


async def test_rfc_8463_appendix_a() -> None:
    results = await verified(message("rfc8463-a.eml"))
    assert [(found.result, found.algorithm, found.selector, found.bits) for found in results] == [
        ("pass", "ed25519-sha256", "brisbane", 256),
        ("pass", "rsa-sha256", "test", 1024),
    ]


@pytest.mark.parametrize("name", ["rfc6376-a.eml", "rfc8463-a.eml"])
@pytest.mark.parametrize(("old", "new"), [(b"dinner", b"supper"), (b"hungry", b"thirsty")])
async def test_a_change_is_found(name: str, old: bytes, new: bytes) -> None:
    octets = message(name)
    assert old in octets
    assert {found.result for found in await verified(octets.replace(old, new))} == {Result.FAIL}


async def test_no_signature() -> None:
    assert await verified(b"From: a@b.test\r\n\r\nHello.\r\n") == ()
