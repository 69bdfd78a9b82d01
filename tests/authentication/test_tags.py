"""Lists of tags, by the grammar of RFC 6376 3.2."""

import pytest

from engine.authentication.tags import base64, listed, parse_tags, unquoted


@pytest.mark.parametrize(
    ("octets", "tags"),
    [
        (b"a=1", {"a": "1"}),
        (b"a=1;", {"a": "1"}),
        (b"a=1; \r\n ", {"a": "1"}),
        (b" a1_B =\r\n\t1 \r\n 2  ;b=", {"a1_B": "1 \r\n 2", "b": ""}),
        (b"a=b=c;A=d", {"a": "b=c", "A": "d"}),
        (b"a=\xc3\xbc", {"a": "ü"}),
        (b"", {}),
        (b" \r\n ", {}),
    ],
)
def test_lists(octets: bytes, tags: dict[str, str]) -> None:
    assert parse_tags(octets) == tags
    assert list(parse_tags(octets)) == list(tags)


@pytest.mark.parametrize(
    "octets", [b"a", b";", b"a=1;;", b";a=1", b"a=1;;b=2", b"=1", b"1a=1", b"_=1", b"a b=1", b"a-b=1", b"a=1;a=1",
               b"a=\0", b"a=\x7f", b"a=\xff", b"\xc3\xbc=1"],
)  # fmt: skip
def test_no_lists(octets: bytes) -> None:
    with pytest.raises(ValueError, match="tag"):
        parse_tags(octets)


def test_base64() -> None:
    assert base64(" aGF\r\n\ts bG8= ") == base64("aGFsbG8") == b"hallo"
    for text in ("a", "a===", "aGF=sbG8", "aGFsbG8-", "aGFsbG8ü"):
        with pytest.raises(ValueError, match="base64"):
            base64(text)


def test_listed() -> None:
    assert listed("a : b\r\n :c:") == ["a", "b", "c", ""]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ada", "ada"),
        ("a=40b", "a@b"),
        ("a=3D40", "a=40"),
        ("a =20\r\n b", "a b"),
        ("=C3=A9", "\xe9"),
        ("a=4", "a=4"),
        ("a=zz", "a=zz"),
        ("=FF", "\ufffd"),
        ("é=2E", "\xe9."),
    ],
)
def test_quoted_printable(value: str, text: str) -> None:
    assert unquoted(value) == text
