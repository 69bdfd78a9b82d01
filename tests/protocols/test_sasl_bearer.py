"""Logins by a token."""

from engine.protocols.sasl_bearer import OAuthBearer, XOAuth2
from engine.protocols.sasl_client import Password

WHO = Password("ann@example.com", "tok")


def test_oauthbearer_says_who_where_and_by_what() -> None:
    exchange = OAuthBearer(WHO, "imap.example.com", 993)
    assert exchange.initial() == (
        b"n,a=ann@example.com,\x01host=imap.example.com\x01port=993\x01auth=Bearer tok\x01\x01"
    )
    assert exchange.answer(b'{"status":"invalid_token"}') == b"\x01"


def test_xoauth2_says_who_and_by_what_and_answers_an_error_with_nothing() -> None:
    exchange = XOAuth2(WHO)
    assert exchange.initial() == b"user=ann@example.com\x01auth=Bearer tok\x01\x01"
    assert exchange.answer(b'{"status":"400"}') == b""


def test_signs_of_the_header_are_escaped() -> None:
    assert (OAuthBearer(Password("a,b=c", "t"), "h", 1).initial() or b"").startswith(b"n,a=a=2Cb=3Dc,")
