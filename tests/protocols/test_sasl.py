"""SASL exchanges, step by step."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.protocols.sasl import (
    CLEAR,
    EXTERNAL,
    MECHANISMS,
    Certificate,
    Challenge,
    Channel,
    Credentials,
    Failure,
    Login,
    Offer,
    Plain,
    Question,
    Token,
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
    exchange = MECHANISMS[name](CLEAR)
    for response in responses:
        assert isinstance(exchange.step(response), Challenge | Question | Failure)


@given(st.binary())
def test_any_octets_survive(octets: bytes) -> None:
    assert decode(encode(Challenge(octets))) == octets


@pytest.mark.parametrize(
    ("name", "response", "login"),
    [
        # RFC 7628 4.1
        (
            "OAUTHBEARER",
            b"n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer vF9dft4qmT\1\1",
            "user@example.com",
        ),
        ("OAUTHBEARER", b"n,,\1auth=Bearer vF9dft4qmT\1\1", ""),
        ("OAUTHBEARER", b"y,a=a=2Cb=3D,\1auth=bearer  vF9dft4qmT\1host=x\1\1", "a,b="),
        ("XOAUTH2", b"user=user@example.com\1auth=Bearer vF9dft4qmT\1\1", "user@example.com"),
    ],
)
def test_bearer_tokens(name: str, response: bytes, login: str) -> None:
    exchange = Offer((name,)).begin(name)
    assert exchange.step(None) == Challenge(b"")
    step = exchange.step(response)
    assert step == Token(name, login, "vF9dft4qmT")
    assert "vF9" not in repr(step)


@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
@pytest.mark.parametrize(
    "response",
    [
        b"", b"\1", b"n,,\1\1", b"n,,\1auth=Basic x\1\1", b"n,,\1auth=Bearer \1\1", b"n,,\1auth=Bearer x\1",
        b"n,,auth=Bearer x\1\1",
        b"n,,\1auth=Bearer x\1auth=Bearer y\1\1", b"p=x,,\1auth=Bearer x\1\1", b"n,a=\xff,\1auth=Bearer x\1\1",
        b"user=\1auth=Bearer x\1\1", b"user=a\1auth=Bearer x\1", b"user=a\1auth=Bearer a b\1\1",
    ],
)  # fmt: skip
def test_what_is_no_bearer_token(name: str, response: bytes) -> None:
    assert isinstance(Offer((name,)).begin(name).step(response), Failure)


ANN_AND_BOB = ("ann@example.org", "bob@example.org")


@pytest.mark.parametrize(
    ("response", "login"),
    [(b"", ""), (b"ann@example.org", "ann@example.org"), ("jürgen@bücher.example".encode(), "jürgen@bücher.example")],
)
def test_external(response: bytes, login: str) -> None:
    exchange = Offer((EXTERNAL,), Channel(addresses=ANN_AND_BOB)).begin(EXTERNAL)
    assert exchange.step(None) == Challenge(b"")
    assert exchange.step(response) == Certificate(EXTERNAL, login, ANN_AND_BOB)


@pytest.mark.parametrize("response", [b"\xff", b"ann\0bob", b"\0"])
def test_no_identity(response: bytes) -> None:
    assert isinstance(Offer((EXTERNAL,), Channel(addresses=ANN_AND_BOB)).begin(EXTERNAL).step(response), Failure)


def test_external_is_offered_by_certificate_alone() -> None:
    names = (EXTERNAL, "PLAIN")
    assert Offer(names, Channel(addresses=ANN_AND_BOB)).names == names
    assert Offer(names, Channel(bindings={"tls-exporter": b"x"})).names == ("PLAIN",)
    assert Offer(names).names == ("PLAIN",)
