"""Encoded words: the examples of RFC 2047, what mailers make of them, and no more work than there are octets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.charsets import codec, decode, decoder
from engine.mime.words import decoded

# RFC 2047 8, and what its text shows.
EXAMPLES = [
    ("=?US-ASCII?Q?Keith_Moore?= <moore@cs.utk.edu>", "Keith Moore <moore@cs.utk.edu>"),
    ("=?ISO-8859-1?Q?Keld_J=F8rn_Simonsen?= <keld@dkuug.dk>", "Keld Jørn Simonsen <keld@dkuug.dk>"),
    ("=?ISO-8859-1?Q?Andr=E9?= Pirard <PIRARD@vm1.ulg.ac.be>", "André Pirard <PIRARD@vm1.ulg.ac.be>"),
    (
        "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?= =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
        "If you can read this you understand the example.",
    ),
    ("=?ISO-8859-1?Q?Olle_J=E4rnefors?= <ojarnef@admin.kth.se>", "Olle Järnefors <ojarnef@admin.kth.se>"),
    ("=?ISO-8859-1?Q?Patrik_F=E4ltstr=F6m?= <paf@nada.kth.se>", "Patrik Fältström <paf@nada.kth.se>"),
    ("(=?iso-8859-8?b?7eXs+SDv4SDp7Oj08A==?=)", "(םולש ןב ילטפנ)"),
    ("(=?ISO-8859-1?Q?a?=)", "(a)"),
    ("(=?ISO-8859-1?Q?a?= b)", "(a b)"),
    ("(=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=)", "(ab)"),
    ("(=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=)", "(ab)"),
    ("(=?ISO-8859-1?Q?a_b?=)", "(a b)"),
    ("(=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=)", "(a b)"),
    ("=?US-ASCII*EN?Q?Keith_Moore?= <m@x>", "Keith Moore <m@x>"),  # RFC 2231 5
]

MET = [
    ("no word", "no word"),
    ("=?utf-8?b?w6Q?= x", "ä x"),  # without padding
    ("=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),  # a character cut in two
    ("=?utf-8?q?=C3?= =?UTF-8?b?pA==?=", "ä"),
    ("=?utf-8?q?a b?=", "a b"),
    ("=?utf-8?q?what??=", "what?"),
    ("Re:=?utf-8?q?a?=b", "Re:ab"),
    ("=?ISO-2022-JP?B?GyRCRnxLXDhsGyhC?=", "日本語"),
    ("=?GB18030?B?xOO6ww==?=", "你好"),
    ("=?ks_c_5601-1987?B?yKu15w==?=", b"\xc8\xab\xb5\xe7".decode("cp949")),
    ("=?utf-8?q?a?= =?nonesuch?q?b?= =?utf-8?q?c?=", "a =?nonesuch?q?b?= c"),
    ("=?utf-8?q?=FF?= =?utf-8?q?a?=", "=?utf-8?q?=FF?= =?utf-8?q?a?="),
    ("=?utf-8?b?A?=", "=?utf-8?b?A?="),
    ("=?utf-8?q?never =?utf-8?q?ends?=", "=?utf-8?q?never ends"),
    ("=?idna?q?xn--a?=", "=?idna?q?xn--a?="),
    ("=?hex?q?61?=", "=?hex?q?61?="),
    ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
    ("=??q?a?=", "=??q?a?="),
    ("=?utf-8?q??=", ""),
]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES + MET)
def test_words_are_decoded(text: str, expected: str) -> None:
    assert decoded(text) == expected


@given(st.lists(st.sampled_from(["=?", "?=", "utf-8", "?q?", "?b?", "=C3", "=A4", "w6Q=", " ", "x", "ä", "*en", "_"])))
def test_nothing_makes_it_fail(pieces: list[str]) -> None:
    assert isinstance(decoded("".join(pieces)), str)


@given(st.text(max_size=50), st.sampled_from(["utf-8", "gb18030", "utf-7"]))
def test_what_the_standard_library_encodes_is_read(text: str, charset: str) -> None:
    from email.charset import BASE64, Charset

    made = Charset(charset)
    made.header_encoding = BASE64
    clean = text.encode(charset, "ignore").decode(charset)
    assert decoded(made.header_encode(clean)) == clean


@pytest.mark.parametrize("piece", ["=?utf-8?q?", "=?", "=?a", "=?utf-8?b?YQ==?= ", "=?utf-8?q?=?", "=?x*", "=?a?q?? "])
def test_the_work_grows_with_the_text(piece: str) -> None:
    """A quadratic pattern would try as many steps as there are pieces times characters: 4,000,000,000 and more."""
    text = piece * (300_000 // len(piece))
    assert len(decoded(text)) <= len(text)


@pytest.mark.parametrize(
    "name", ["idna", "punycode", "hex", "base64", "rot13", "zlib", "unicode_escape", "x\0", "", "ü"]
)
def test_what_is_no_charset_is_unknown(name: str) -> None:
    assert codec(name) is None


@pytest.mark.parametrize(
    ("octets", "charset", "text"),
    [
        (b"gr\xc3\xbcn", "", "grün"),
        (b"gr\xfcn", "", "grün"),
        (b"gr\xfcn", "us-ascii", "grün"),
        (b"gr\xc3\xbcn", "us-ascii", "grün"),
        (b"gr\xc3\xbcn gr\xfcn", "", "grün grün"),
        (b"\xe2\x82", "", "â‚"),
        (b"gr\xfcn", "utf-8", "gr\ufffdn"),
        (b"\x93a\x94", "windows-1252", "“a”"),
        (b"\x83\x65", "x-sjis", "テ"),
    ],
)
def test_octets_are_text_whole_and_in_pieces(octets: bytes, charset: str, text: str) -> None:
    assert decode(octets, charset) == text
    characters = decoder(charset)
    pieces = [characters.decode(octets[place : place + 1]) for place in range(len(octets))]
    assert "".join(pieces) + characters.decode(b"", final=True) == text
