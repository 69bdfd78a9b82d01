"""SOCKS 5, the client's side: what is said, what is read, and never an octet too many."""

import pytest

from engine.protocols.socks5 import Socks5, SocksError, SocksLogin

BOUND = b"\x05\x00\x00\x01\xc0\x00\x02\x01\x04\x00"
LOGIN = SocksLogin("ann", "secret")


def led(socks: Socks5, *answers: bytes, at_once: int = 1) -> list[bytes]:
    """What is said, with these answers in between, which come in pieces."""
    said = [socks.outgoing()]
    for answer in answers:
        for start in range(0, len(answer), at_once):
            socks.receive(answer[start : start + at_once])
        said.append(socks.outgoing())
    return said


@pytest.mark.parametrize(
    ("address", "request_"),
    [
        ("192.0.2.7", b"\x05\x01\x00\x01\xc0\x00\x02\x07\x00\x19"),
        ("2001:db8::1", b"\x05\x01\x00\x04\x20\x01\x0d\xb8" + 11 * b"\0" + b"\x01\x00\x19"),
    ],
)
def test_without_a_login(address: str, request_: bytes) -> None:
    socks = Socks5(address, 25)
    assert led(socks, b"\x05\x00", BOUND) == [b"\x05\x01\x00", request_, b""]
    assert socks.done
    assert socks.wanted == 0


def test_with_a_login() -> None:
    socks = Socks5("192.0.2.7", 25, LOGIN)
    said = led(socks, b"\x05\x02", b"\x01\x00", BOUND)
    assert said[:2] == [b"\x05\x02\x00\x02", b"\x01\x03ann\x06secret"]
    assert socks.done


def test_no_login_is_told_to_a_proxy_that_wants_none() -> None:
    said = led(Socks5("192.0.2.7", 25, LOGIN), b"\x05\x00", BOUND)
    assert b"secret" not in b"".join(said)


@pytest.mark.parametrize(
    "bound", [b"\x01\x7f\0\0\x01\0\x19", b"\x04" + 16 * b"\1" + b"\0\x19", b"\x03\x05a.com\0\x19", b"\x03\x00\0\x19"]
)
def test_whatever_address_is_bound_nothing_of_the_target_is_taken(bound: bytes) -> None:
    socks = Socks5("192.0.2.7", 25)
    socks.outgoing()
    stream = b"\x05\x00\x05\x00\x00" + bound + b"220 hello\r\n"
    while not socks.done:
        piece, stream = stream[: socks.wanted], stream[socks.wanted :]
        socks.receive(piece)
    assert stream == b"220 hello\r\n"


@pytest.mark.parametrize(
    ("answers", "text", "of_target"),
    [
        ((b"\x05\xff",), "the proxy wants a login", False),
        ((b"\x05\x02",), "the method 2, which was not offered", False),
        ((b"\x04\x00",), "does not speak SOCKS 5", False),
        ((b"HT",), "does not speak SOCKS 5", False),
        ((b"\x05\x00", b"\x05\x01\x00\x01\x00"), "general failure", False),
        ((b"\x05\x00", b"\x05\x02\x00\x01\x00"), "not allowed by its rules", False),
        ((b"\x05\x00", b"\x05\x04\x00\x01\x00"), "host unreachable", True),
        ((b"\x05\x00", b"\x05\x05\x00\x01\x00"), "connection refused", True),
        ((b"\x05\x00", b"\x05\x63\x00\x01\x00"), "error 99", False),
        ((b"\x05\x00", b"\x05\x00\x00\x09\x00"), "an address of the kind 9", False),
    ],
)
def test_refusals(answers: tuple[bytes, ...], text: str, of_target: bool) -> None:
    with pytest.raises(SocksError, match=text) as caught:
        led(Socks5("192.0.2.7", 25), *answers)
    assert caught.value.of_target is of_target


def test_a_login_that_is_refused() -> None:
    with pytest.raises(SocksError, match="refused our login"):
        led(Socks5("192.0.2.7", 25, LOGIN), b"\x05\x02", b"\x01\x01")
    with pytest.raises(SocksError, match="wants another login"):
        led(Socks5("192.0.2.7", 25, LOGIN), b"\x05\xff")


def test_more_than_is_wanted_is_a_mistake_of_the_driver() -> None:
    with pytest.raises(ValueError, match="not all the proxy's"):
        Socks5("192.0.2.7", 25).receive(b"\x05\x00\x05")


@pytest.mark.parametrize(("name", "password"), [("", "x"), ("x", ""), ("x" * 256, "x"), ("x", "é" * 128)])
def test_what_is_no_login(name: str, password: str) -> None:
    with pytest.raises(ValueError, match="1 to 255 octets"):
        SocksLogin(name, password)


def test_what_is_no_address() -> None:
    with pytest.raises(ValueError, match=r"mx\.example\.org"):
        Socks5("mx.example.org", 25)


def test_a_password_never_shows() -> None:
    assert "secret" not in repr(LOGIN)
