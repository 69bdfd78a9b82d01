"""What the filter takes out of a message: words, however they are dressed up."""

import base64

import pytest

from engine.spam import Letter
from engine.spam.letter import READ
from engine.spam.tokens import LONGEST, MOST, tokens, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Buy NOW, it's free!", ["buy", "now", "it's", "free!"]),
        ("only $9.99 or 50% off", ["only", "$9.99", "or", "50%", "off"]),
        ("a I", []),
        ("call 1-800-555-0000 at 12", ["call", "number:14", "at", "number:2"]),
        ("v\u200bi\u200ba\u200bg\u200br\u200ba", ["viagra"]),
        ("via\u00adgra", ["viagra"]),
        ("v\u0456\u0430gr\u0430", ["viagra"]),  # Cyrillic letters among Latin ones
        ("\uff36\uff49\uff41\uff47\uff52\uff41", ["viagra"]),  # full width
        ("\u0441\u043f\u0430\u043c", ["\u0441\u043f\u0430\u043c"]),  # a Russian word stays one
        ("x" * (LONGEST + 1), ["long:2"]),
        ("A" * 5000, []),  # nobody's word, but octets in base64
        ("\u4fa1\u683c\u306f\u5b89\u3044", ["\u4fa1\u683c", "\u683c\u306f", "\u306f\u5b89", "\u5b89\u3044"]),
        ("Gr\u00fc\u00dfe", ["gr\u00fcsse"]),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


def of(content: bytes) -> frozenset[str]:
    return tokens(Letter((content.replace(b"\n", b"\r\n"),)))


HEADER = b"""From: "Ann Smith" <Ann@Shop.example.com>
To: bob@example.org
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= cheap
X-Mailer: Bulk 1.0
Content-Type: text/html; charset=utf-8

"""


def test_header_fields() -> None:
    found = of(HEADER)
    assert {"from:ann@shop.example.com", "from:@shop.example.com", "from:smith", "to:@example.org"} <= found
    assert {"subject:cheap", "cheap", "subject:gr\u00fcsse", "mailer:bulk", "has:x-mailer", "no:date"} <= found


def test_what_is_hidden_is_no_word_but_told() -> None:
    found = of(HEADER + b'see <div style="display:none">poetry <p>rose</div><!-- no --> this<style>css</style> ')
    assert {"see", "this"} <= found
    assert not {"poetry", "rose", "no", "css"} & found
    assert any(token.startswith("markup:hidden") for token in found)


def test_a_word_that_tags_cut_is_one() -> None:
    assert "viagra" in of(HEADER + b"vi<b></b>ag<!-- x -->ra&#8203; now")


def test_links() -> None:
    found = of(HEADER + b'<a href="https://www.pills.example.co.uk/Order/cheap.php?id=1">here</a>')
    assert {"host:www.pills.example.co.uk", "site:example.co.uk", "path:order", "path:cheap"} <= found


def test_attachments() -> None:
    found = of(b"""Subject: x
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: application/octet-stream; name="Invoice 7.pdf.exe"
Content-Disposition: attachment

zzz
--b--
""")
    assert {"part:application/octet-stream", "suffix:pdf", "suffix:exe", "file:invoice"} <= found
    assert "zzz" not in found


def test_base64_text_is_read_and_garbage_is_not_many_tokens() -> None:
    body = base64.encodebytes(b"cheap pills")
    assert {"cheap", "pills"} <= of(b"Content-Transfer-Encoding: base64\n\n" + body)
    garbage = base64.encodebytes(bytes(range(256)) * 200)
    assert len(of(b"Subject: x\n\n" + garbage)) < 60


def test_tokens_and_octets_are_bounded() -> None:
    many = b" ".join(b"w%x" % number for number in range(200_000))
    assert len(of(b"Subject: x\n\n" + many)) == MOST
    letter = Letter([b"Subject: x\r\n\r\n", *([b"a" * 65536] * 100)])
    assert len(letter.octets) == READ


@pytest.mark.parametrize(
    "hard",
    [
        b"<" * 300_000,
        b"<a href=" * 40_000,
        b"<a href='" * 40_000,
        b'<div style="display:none">' * 15_000,
        b"<p hidden>x" * 30_000,
        b"=?utf-8?q?" * 20_000,
        b"a." * 150_000,
        b"http://" * 40_000,
        b"$" * 300_000,
        b"&#" * 100_000,
    ],
    ids=lambda octets: octets[:12].decode(),
)
def test_what_is_made_to_be_slow_ends(hard: bytes) -> None:
    assert len(of(b"Content-Type: text/html\nSubject: " + hard[:5000] + b"\n\n" + hard)) <= MOST


def test_nothing_and_rubbish() -> None:
    assert "no:from" not in of(b"")
    assert of(b"\0\xff\xfe: \n\xff\n\n\xff")
