"""Chains: the steps of RFC 8617 5.2; each tag missing, empty or wrong is in test_arc_suite.py."""

import re
from collections.abc import Callable
from functools import partial

import pytest

from engine.authentication.arc import ArcResult, validate_arc
from engine.authentication.fields import split_message
from engine.authentication.outcome import Result
from tests.authentication.letters import (
    BODY,
    HEADER,
    NOW,
    chain,
    ed25519_signer,
    letter,
    record,
    records,
    rsa,
    rsa_signer,
    sealed,
)
from tests.authentication.zone import TROUBLE, Asked

Header = list[bytes]
NAMES = (b"ARC-Seal", b"ARC-Message-Signature", b"ARC-Authentication-Results")


async def validated(header: Header, body: bytes = BODY, zone: dict[str, bytes] | None = None) -> ArcResult:
    fields, rest = split_message([letter(header, body)])
    return await validate_arc(fields, rest, Asked(records() if zone is None else zone), NOW)


def replaced(header: Header, old: bytes, new: bytes, count: int = 1) -> Header:
    octets = b"\0".join(header)
    assert old in octets
    return octets.replace(old, new, count).split(b"\0")


def without(header: Header, name: bytes, number: int = 0) -> Header:
    """Without a field of that name, counted from the top."""
    places = [place for place, field in enumerate(header) if field.startswith(name + b":")]
    return [field for place, field in enumerate(header) if place != places[number]]


def twice(header: Header, name: bytes) -> Header:
    return [next(field for field in header if field.startswith(name + b":")), *header]


async def test_no_chain() -> None:
    assert await validated(HEADER) == ArcResult(Result.NONE)
    assert await validated([]) == ArcResult(Result.NONE)


@pytest.mark.parametrize("sets", [1, 2, 3, 12, 50])
async def test_a_chain_that_holds(sets: int) -> None:
    found = await validated(chain(sets))
    assert (found.result, found.oldest_pass, len(found.sets)) == (Result.PASS, 0, sets)
    assert [said.results for said in found.sets] == ["example.com; spf=pass"] * sets
    assert {(said.domain, said.selector, said.signing_domain) for said in found.sets} == {
        ("example.com", "rsa", "example.com")
    }


async def test_fifty_one_sets() -> None:
    assert (await validated(chain(51))).text == "there are more than 50 sets"


async def test_ed25519() -> None:
    assert (await validated(sealed(HEADER, 1, signer=ed25519_signer()))).result is Result.PASS


async def test_the_oldest_that_still_passes() -> None:
    """RFC 8617 5.2, step 5: a list changed the subject between the first and the second."""
    changed = replaced(chain(1), b"Dinner", b"[list] Dinner")
    found = await validated(sealed(sealed(changed, 2), 3))
    assert (found.result, found.oldest_pass) == (Result.PASS, 2)
    again = replaced(sealed(changed, 2), b"Dinner", b"Supper")
    found = await validated(sealed(again, 3))
    assert (found.result, found.oldest_pass) == (Result.PASS, 3)


@pytest.mark.parametrize(
    "spoil",
    [
        *(partial(without, name=name) for name in NAMES),
        *(partial(without, name=name, number=1) for name in NAMES),
        *(partial(twice, name=name) for name in NAMES),
        partial(replaced, old=b"Dinner", new=b"Supper"),
        partial(replaced, old=b"spf=pass", new=b"spf=fail", count=1),
        partial(replaced, old=b"i=2; example.com", new=b"i=3; example.com"),
        partial(replaced, old=b"i=2; example.com", new=b"example.com"),
        partial(replaced, old=b"i=2; example.com", new=b"example.com; i=2"),
        partial(replaced, old=b"i=2; example.com", new=b"i=2 example.com"),
        partial(replaced, old=b"i=2; example.com", new=b"i=; example.com"),
        partial(replaced, old=b"i=2; example.com", new=b"i=two; example.com"),
        partial(replaced, old=b"i=2; a=", new=b"i=1; a="),
        partial(replaced, old=b"i=1; a=", new=b"i=2; a="),
        lambda header: [*header, b"no field\r\n"],
        lambda header: header[:3] + header[6:],
    ],
)  # fmt: skip
async def test_a_chain_that_was_broken(spoil: Callable[[Header], Header]) -> None:
    assert (await validated(spoil(chain(2)))).result is Result.FAIL


async def test_the_newest_set_alone_may_go() -> None:
    assert (await validated(chain(3)[3:])).oldest_pass == 0


async def test_a_body_that_was_changed() -> None:
    found = await validated(chain(2), BODY + b"PS\r\n")
    assert found == ArcResult(Result.FAIL, "the newest message signature: the body was changed")


# Tags of the message signature and of the seal that are other than usual; the seal covers the set as it is then. What
# ValiMail's suite has (test_arc_suite.py) is not here again.
SETS = {
    "as is": (1, {}, {}, "pass"),
    "a seal with i=51": (1, {}, {"i": "51"}, "fail"),
    "a seal with h": (1, {}, {"h": "from"}, "fail"),
    "a seal with a tag name in capitals": (1, {}, {"s": None, "S": "rsa"}, "fail"),
    "a signature with an empty name": (1, {"h": "from:to::date"}, {}, "pass"),
    "a signature of its own results": (1, {"h": "from:arc-authentication-results"}, {}, "pass"),
    "a signature that expired": (1, {"x": "12346"}, {}, "fail"),
    "a signature with v, which means nothing": (1, {"v": "7"}, {}, "pass"),
    "a signature with q unknown": (1, {"q": "pigeon"}, {}, "fail"),
}  # fmt: skip


@pytest.mark.parametrize("case", SETS)
async def test_what_a_set_says(case: str) -> None:
    instance, signature, seal, expected = SETS[case]
    header = sealed(chain(instance - 1), instance, signature=signature, seal=seal)
    assert (await validated(header)).result == expected


@pytest.mark.parametrize("name", [b"ARC-Seal", b"ARC-Message-Signature"])
@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (rb" b=\r\n [^;]*\Z", b""),
        (rb" b=\r\n [^;]*\Z", b" b=\r\n"),
        (rb" b=\r\n [^;]*\Z", b" b=&&&&\r\n"),
        (rb" b=\r\n ....", b" b=\r\n AAAA"),
        (rb"; a=", b"; ; a="),
        (rb"; a=", b"; s=rsa; a="),
        (rb" d=", b" d"),
        (rb"d=example.com", b"d=EXAMPLE.com"),
    ],
)
async def test_a_field_that_was_changed(name: bytes, pattern: bytes, new: bytes) -> None:
    header = [re.sub(pattern, lambda _: new, field, count=1) if field.startswith(name) else field for field in chain(1)]
    assert header != chain(1)
    assert (await validated(header)).result is Result.FAIL


@pytest.mark.parametrize("name", [b"ARC-Seal:", b"ARC-Message-Signature:", b"ARC-Authentication-Results:", b"From:"])
@pytest.mark.parametrize(
    ("old", "new"), [(b": ", b":   "), (b": ", b" :"), (b"; ", b";\r\n\t "), (b"; ", b";     "), (b"\r\n", b"  \r\n")]
)
async def test_what_relaxed_forms_forgive(name: bytes, old: bytes, new: bytes) -> None:
    header = [
        name.upper() + field[len(name) :].replace(old, new) if field.startswith(name) else field for field in chain(2)
    ]
    assert (await validated(header)).result is Result.PASS


@pytest.mark.parametrize(
    "results", ["i=1;example.com;none", " i = 1 ; example.com; none", "(one)i(is)=(1)1 ; example.com"]
)
async def test_results_as_the_grammar_allows_them(results: str) -> None:
    assert (await validated(sealed(HEADER, 1, results=results))).result is Result.PASS


@pytest.mark.parametrize(
    ("zone", "text"),
    [
        ({}, "there is no key"),
        ({"rsa._domainkey.example.com": TROUBLE}, "no server answers"),
        ({"rsa._domainkey.example.com": b"v=DKIM1; p="}, "revoked"),
        ({"rsa._domainkey.example.com": b"icecream"}, "broken"),
        ({"rsa._domainkey.example.com": record(rsa(1024))}, "another key"),
    ],
)
async def test_keys(zone: dict[str, bytes], text: str) -> None:
    """RFC 8617 5.2.1: all failures are permanent, those of the DNS too."""
    found = await validated(chain(1), zone=zone)
    assert found.result is Result.FAIL
    assert text in found.text


async def test_an_older_key_that_is_gone() -> None:
    other = rsa_signer("example.net", "old")
    header = sealed(sealed(HEADER, 1, signer=other), 2)
    assert (await validated(header)).result is Result.FAIL
    zone = {**records(), "old._domainkey.example.net": record(rsa())}
    assert (await validated(header, zone=zone)).result is Result.PASS


async def test_keys_are_asked_for_once_the_newest_signature_holds() -> None:
    header = replaced(chain(3), b"Dinner", b"Supper")
    fields, rest = split_message([letter(header)])
    asked = Asked(records())
    assert (await validate_arc(fields, rest, asked, NOW)).result is Result.FAIL
    assert asked.questions == ["rsa._domainkey.example.com"]
