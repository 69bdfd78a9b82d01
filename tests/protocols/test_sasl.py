"""SASL exchanges, step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.sasl import (
    MECHANISMS,
    Challenge,
    Credentials,
    Failure,
    KeysWanted,
    Login,
    Plain,
    decode,
    decode_initial,
    encode,
)


def test_plain_with_an_initial_response() -> None:
    assert Plain().step(b"\0tim\0tanstaaftanstaaf") == Credentials("PLAIN", "tim", "tanstaaftanstaaf")


def test_plain_asks_for_what_did_not_come() -> None:
    exchange = Plain()
    assert exchange.step(None) == Challenge(b"")
    assert exchange.step("\0jürgen\0pässword".encode()) == Credentials("PLAIN", "jürgen", "pässword")


def test_plain_may_name_the_login_as_the_identity() -> None:
    assert Plain().step(b"tim\0tim\0secret") == Credentials("PLAIN", "tim", "secret")


@pytest.mark.parametrize(
    "response",
    [b"", b"tim", b"\0tim", b"\0\0secret", b"\0tim\0", b"\0tim\0secret\0", b"ursel\0tim\0secret", b"\0tim\0\xff"],
)
def test_plain_refuses(response: bytes) -> None:
    assert isinstance(Plain().step(response), Failure)


@pytest.mark.parametrize("initial", [True, False])
def test_login(initial: bool) -> None:
    exchange = Login()
    if not initial:
        assert exchange.step(None) == Challenge(b"Username:")
    assert exchange.step(b"tim") == Challenge(b"Password:")
    assert exchange.step(b"secret") == Credentials("LOGIN", "tim", "secret")


@pytest.mark.parametrize(("login", "password"), [(b"", b"secret"), (b"tim", b""), (b"t\0m", b"x"), (b"\xff", b"x")])
def test_login_refuses(login: bytes, password: bytes) -> None:
    exchange = Login()
    exchange.step(login)
    assert isinstance(exchange.step(password), Failure)


def test_a_password_never_shows() -> None:
    assert "secret" not in repr(Credentials("PLAIN", "tim", "secret"))


def test_base64_as_it_goes_over_the_wire() -> None:
    assert encode(Challenge(b"Username:")) == b"VXNlcm5hbWU6"
    assert encode(Challenge(b"")) == b""
    assert decode(b"VXNlcm5hbWU6") == b"Username:"
    assert decode_initial(b"=") == b""


@pytest.mark.parametrize(
    "line", [b"=", b"A", b"AA", b"AAA", b"AA=", b"AAAA=", b"AAAA====", b"AA==AA==", b"A A=", b"\xff"]
)
def test_no_base64(line: bytes) -> None:
    assert decode(line) is None


@given(st.sampled_from(sorted(MECHANISMS)), st.lists(st.binary(), min_size=2))
def test_nothing_raises(name: str, responses: list[bytes]) -> None:
    exchange = MECHANISMS[name]({})
    for response in responses:
        assert isinstance(exchange.step(response), Challenge | Credentials | KeysWanted | Failure)


@given(st.binary())
def test_any_octets_survive(octets: bytes) -> None:
    assert decode(encode(Challenge(octets))) == octets
