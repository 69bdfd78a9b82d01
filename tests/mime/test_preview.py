"""Previews, HTML as text, and the text that is searched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.digest import between
from engine.mime.fields import fields
from engine.mime.markup import Text
from engine.mime.preview import LENGTH, preview
from engine.mime.search import address_texts, body_texts, header_texts
from engine.mime.structure import structure

MARKUP = [
    ("plain", "plain"),
    ("a<br>b<p class='x>y'>c</p>", "a b c"),
    ("wo<b>r</b>d", "word"),
    ("<a href=\"a>b\" title='c>d'>e</a>", "e"),
    ("<a b=c>d", "d"),
    ("&lt;a&gt; &amp; &eacute;&#233;&#xe9;&nbsp;x &unknown; & &", "<a> & ééé x &unknown; & &"),
    ("a<!-- <b> --> c <!----> d <!--> e", "a c d e"),
    ("<!DOCTYPE html><?xml x?><html><head><title>no</title><STYLE>p > a { }</STYLE></head>yes", "yes"),
    ("<script>if (a<b) '</b>'</script >yes", "yes"),
    ("a<script src=x></script>b", "a b"),
    ("1 < 2 and 3 > 2 <3", "1 < 2 and 3 > 2 <3"),
    ("a <b", "a"),
    ("a <!-- b", "a"),
    ("a <script> b", "a"),
    ("a </ b> c", "a c"),
    ("<p", ""),
    ("a <", "a <"),
    ("&#" + "9" * 5000 + ";x", "\ufffdx"),
    ("<td>a</td><td>b</td>", "a b"),
]


def shown(pieces: list[str]) -> str:
    text = Text()
    return " ".join(("".join(map(text.feed, pieces)) + text.end()).split())


@pytest.mark.parametrize(("markup", "expected"), MARKUP)
def test_the_text_in_html(markup: str, expected: str) -> None:
    assert shown([markup]) == expected
    if len(markup) < 1000:
        assert shown(list(markup)) == expected


@given(
    st.lists(
        st.sampled_from(
            [
                "<",
                ">",
                "a",
                "!--",
                "-->",
                "<!",
                "script",
                "</script",
                "style",
                '"',
                "'",
                "=",
                "&",
                "amp;",
                "#1",
                " ",
                "/",
            ]
        )
    ),
    st.integers(1, 4),
)
def test_pieces_make_no_difference(pieces: list[str], step: int) -> None:
    markup = "".join(pieces)
    assert shown([markup[place : place + step] for place in range(0, len(markup), step)]) == shown([markup])


@pytest.mark.parametrize(
    "piece", ["<", "<!--", "<a ", "<a b=", "<a b='", "&", "<script>", "</", "&#", "<!", "<?", "= "]
)
def test_the_work_grows_with_the_html(piece: str) -> None:
    """Quadratic work, as of html.parser before 2025, would be 10,000,000,000 steps and more."""
    text = Text()
    size = sum(len(text.feed(piece * (4096 // len(piece)))) for _ in range(200))
    assert size + len(text.end()) <= 200 * 4096
    assert len(text._rest) <= 4096


def of(*lines: str | bytes) -> bytes:
    return b"\r\n".join(line.encode() if isinstance(line, str) else line for line in lines)


def made(octets: bytes) -> str:
    return preview(structure([octets]), lambda start, end: between([octets], start, end))


PREVIEWS = [
    (of("", "hello", "", "  world\t!"), "hello world !"),
    (of("Content-Type: text/html", "", "<style>p{}</style><p>hello<p>world"), "hello world"),
    (of("Content-Type: text/plain; charset=iso-8859-1", "", b"gr\xfc\xdfe"), "grüße"),
    (of("Content-Type: text/plain; charset=nonesuch", "", "grüße"), "grüße"),
    (of("Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: base64", "", "Z3LDvMOfZQ=="), "grüße"),
    (of("Content-Transfer-Encoding: x-uuencode", "", "begin 644 a"), ""),
    (of("Content-Type: image/png", "", "PNG"), ""),
    (of("Content-Type: text/calendar; method=REQUEST", "", "BEGIN:VCALENDAR"), ""),
    (
        of('Content-Type: multipart/mixed; boundary=b', "", "--b", "Content-Type: text/vCard", "", "BEGIN:VCARD",
           "--b", "", "letter", "--b--"),
        "letter",
    ),
    (of("Content-Type: text/plain", "Content-Disposition: attachment", "", "x"), ""),
    (b"", ""),
    (of("", "a\0b\x1b[31m\u202ec\u200b \u200b\u034f d\u2028e"), "a b [31m c d e"),
    (of("", "x" * 300), "x" * 200),
    (of("", "日本 " * 300), ("日本 " * 67)[:200].rstrip()),
    (
        of('Content-Type: multipart/alternative; boundary=b', "", "--b", "Content-Type: text/html", "", "<p>html",
           "--b", "", "plain", "--b--"),
        "plain",
    ),
    (
        of("Content-Type: multipart/alternative; boundary=b", "", "--b", "", " ", "--b", "Content-Type: text/html", "",
           "<p>html", "--b--"),
        "html",
    ),
    (
        of("Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: text/html", "", "<p>letter",
           "--b", "", "footer of the list", "--b--"),
        "letter",
    ),
    (
        of("Content-Type: multipart/mixed; boundary=b", "", "--b", "Content-Type: message/rfc822", "", "Subject: x", "",
           "inside", "--b", "", "outside", "--b--"),
        "outside",
    ),
    (of("Content-Type: message/rfc822", "", "Subject: x", "", "inside"), "inside"),
]  # fmt: skip


@pytest.mark.parametrize(("octets", "expected"), PREVIEWS)
def test_a_preview_is_the_first_words(octets: bytes, expected: str) -> None:
    assert made(octets) == expected


@given(st.binary(max_size=300), st.sampled_from([b"", b"Content-Type: text/html; charset=utf-7\n\n", b"\n"]))
def test_any_message_has_a_preview(octets: bytes, header: bytes) -> None:
    words = made(header + octets)
    assert len(words) <= LENGTH
    assert words.isprintable() or not any(ord(character) < 32 for character in words)


def test_no_more_is_decoded_than_is_shown() -> None:
    octets = b"\n" + b"words " * 100_000
    read = []

    def chunks(start: int, end: int) -> list[bytes]:
        read.append(end - start)
        return [octets[start:end]]

    assert len(preview(structure([octets]), chunks)) <= LENGTH
    assert read == [64 * 1024]


def test_all_text_is_searched_and_header_fields_are_decoded() -> None:
    octets = of(
        "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "From: =?utf-8?q?J=C3=BC?= <j@example.org>", "To: all: a@b, c@d;",
        b"X: \xfc", "Content-Type: multipart/mixed; boundary=b", "",
        "--b", "", "one",
        "--b", "Content-Type: text/html", "", "<p>two",
        "--b", "Content-Type: message/rfc822", "", "Subject: in", "", "three",
        "--b", "Content-Type: image/png", "", "no",
        "--b--",
    )  # fmt: skip
    message = structure([octets])
    texts = "".join(body_texts(message, lambda start, end: between([octets], start, end)))
    assert texts.split() == ["one", "two", "three"]
    found = dict(header_texts(fields(octets[: message.body])))
    assert found["subject"] == "Grüße"
    assert found["from"] == "Jü <j@example.org>"
    assert found["to"] == "all, a@b, c@d"
    assert found["x"] == "ü"
    assert list(address_texts(b"a")) == ["a"]
