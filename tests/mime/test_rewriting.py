"""Changed parts: what is added is read by others as it was meant, and what is not touched keeps its octets."""

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime import rewriting
from engine.mime.structure import structure

PLAIN, HTML = "-- \nGrüße, ACME", "<p>Grüße</p>"


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def parsed(octets: bytes) -> EmailMessage:
    found = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    return found


def shown(part: EmailMessage) -> str:
    text = part.get_content()
    assert isinstance(text, str)
    return text.replace("\r\n", "\n")


def footed(octets: bytes) -> bytes:
    return rewriting.with_footer(octets, PLAIN, HTML)


def made(text: str, *, charset: str = "utf-8", cte: str = "8bit", html: str = "", file: bytes = b"") -> bytes:
    letter = EmailMessage(policy=email.policy.SMTP)
    letter["Subject"] = "x"
    letter.set_content(text, charset=charset, cte=cte)
    if html:
        letter.add_alternative(html, subtype="html", charset=charset, cte=cte)
    if file:
        letter.add_attachment(file, maintype="application", subtype="pdf", filename="a.pdf")
    return letter.as_bytes()


# -- a footer


@pytest.mark.parametrize("cte", ["8bit", "quoted-printable", "base64"])
@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252"])
def test_a_footer_is_read_below_each_form_of_the_text(charset: str, cte: str) -> None:
    octets = made("Übrigens.\n", charset=charset, cte=cte, html="<html><BODY>Übrigens</BODY></html>", file=b"%PDF\n")
    found = parsed(footed(octets))
    plain, html = (shown(found.get_body((kind,))) for kind in ("plain", "html"))
    assert plain == "Übrigens.\n\n-- \nGrüße, ACME\n"
    assert html.split() == ["<html><BODY>Übrigens", "<p>Grüße</p>", "</BODY></html>"]
    assert [part.get_content() for part in found.iter_attachments()] == [b"%PDF\n"]


def test_a_bare_message_becomes_mime_where_the_footer_asks_for_it() -> None:
    after = footed(crlf("Received: x\nSubject: x\n\nHello.\n"))
    assert after.startswith(
        crlf("Received: x\nSubject: x\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n")
    )
    assert after.isascii()
    assert shown(parsed(after)) == "Hello.\n\n-- \nGrüße, ACME\n"


def test_a_footer_in_ascii_leaves_the_header_alone() -> None:
    before = crlf("Subject: x\n\nHello.")
    assert rewriting.with_footer(before, "ACME", "") == before + crlf("\n\nACME\n")


@pytest.mark.parametrize(
    ("fields", "body", "then"),
    [
        ("Content-Type: text/plain; format=flowed; charset=us-ascii; delsp=yes\n", b"Hi\r\n",
         "text/plain; format=flowed; charset=utf-8; delsp=yes"),
        ("content-type: text/plain;\n\tcharset=\"iso-8859-5\"\n", "Да\n".encode("iso-8859-5"),
         "text/plain;\r\n\tcharset=utf-8"),
        ("", "schon 8bit: ü\r\n".encode(), "text/plain; charset=utf-8"),
    ],
)  # fmt: skip
def test_a_charset_that_lacks_letters_gives_way(fields: str, body: bytes, then: str) -> None:
    after = footed(crlf(f"{fields}Content-Transfer-Encoding: 8bit\n\n") + body)
    assert f"Content-Type: {then}\r\n".encode() in after
    assert shown(parsed(after)).endswith("\n-- \nGrüße, ACME\n")


def test_what_is_in_no_charset_stays_as_it_is() -> None:
    before = crlf("Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 8bit\n\n") + b"\xff\xfe\r\n"
    assert footed(before) == before + crlf("\n-- \nGr??e, ACME\n")


def test_html_has_references_for_what_its_charset_lacks() -> None:
    before = crlf("Content-Type: text/html; charset=us-ascii\n\n<p>Hi</p>")
    assert footed(before) == before + crlf("\n<p>Gr&#252;&#223;e</p>\n")


def test_of_html_the_last_body_ends_it() -> None:
    before = crlf("Content-Type: text/html\n\n<body><!-- </body> --><p>\n</body></html>\n")
    after = rewriting.with_footer(before, "", "F")
    assert after == before.replace(b"-->", b"-->")[: -len(b"</body></html>\r\n")] + b"F\r\n</body></html>\r\n"


MIXED = """Content-Type: multipart/mixed; boundary=m

--m
Content-Type: multipart/related; boundary=r

--r
Content-Type: text/html

<p>first
--r
Content-Type: image/png

PNG
--r--
--m
Content-Type: text/plain

second
--m
Content-Type: message/rfc822

Subject: inside

third
--m
Content-Disposition: attachment

fourth
--m--
"""


def test_what_is_shown_first_has_the_footer_and_nothing_else() -> None:
    before = crlf(MIXED)
    assert rewriting.with_footer(before, "F", "F") == before.replace(b"first", b"first\r\nF\r\n")


SEALED = [
    "Content-Type: multipart/signed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: text/plain\n\nx\n--b--\n",
    "Content-Type: multipart/encrypted; boundary=b\n\n--b\n\ntext\n--b--\n",
    "Content-Type: application/pkcs7-mime\nContent-Transfer-Encoding: base64\n\neA==\n",
    "\n-----BEGIN PGP SIGNED MESSAGE-----\n\nhello\n",
    "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/signed; boundary=i\n\n--i\n\nx\n--i--\n",
]
OTHER = [
    "Content-Type: image/png\n\nPNG",
    "Content-Type: text/plain\nContent-Transfer-Encoding: x-uuencode\n\nbegin 644 x\n",
    "Content-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\naABpAA==\n",
    "Content-Type: text/plain; name=a.txt\n\nan attachment\n",
    "Content-Type: text/plain; charset=unknown-9\n\nHi\n",
]


@pytest.mark.parametrize("text", SEALED + OTHER)
def test_what_is_sealed_or_shows_no_text_stays_as_it_is(text: str) -> None:
    before = crlf(text)
    assert footed(before) is before


def test_a_sealed_message_inside_is_no_seal_on_the_outside() -> None:
    before = crlf(
        "Content-Type: multipart/mixed; boundary=o\n\n--o\n\ntext\n--o\nContent-Type: message/rfc822\n\n"
    ) + crlf(SEALED[0])
    assert not rewriting.is_sealed(structure([before]))
    assert b"text\r\n\r\nF" in rewriting.with_footer(before, "F", "")


def test_lines_that_would_be_too_long_are_broken() -> None:
    after = rewriting.with_footer(crlf("\nHello\n"), "x" * 2000, "")
    assert max(map(len, after.split(b"\r\n"))) <= 76
    assert "x" * 2000 in shown(parsed(after))


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp", "Cs"]), max_size=60)


@given(st.lists(texts, max_size=5), texts, st.sampled_from(["8bit", "quoted-printable", "base64"]), st.booleans())
def test_a_footer_of_any_text_is_read_below_any_text(lines: list[str], footer: str, cte: str, attached: bool) -> None:
    text = "".join(f"{line}\n" for line in lines)
    before = made(text, cte=cte, file=b"\x00\r\n" if attached else b"")
    found = parsed(rewriting.with_footer(before, footer, ""))
    old = shown(parsed(before).get_body(("plain",)))
    assert shown(found.get_body(("plain",))) == f"{old}\n{footer.rstrip()}\n"
    assert [part.get_content() for part in found.iter_attachments()] == [b"\x00\r\n"] * attached


# -- parts in the place of others


def note(part: rewriting.Part) -> str | None:
    return f"{rewriting.name(part)} was removed: ü" if rewriting.name(part).endswith(".pdf") else None


def test_a_part_gives_way_to_a_note_and_others_keep_their_octets() -> None:
    before = made("Hello\n", file=b"%PDF")
    after = rewriting.replaced(before, note)
    first, second = parsed(after).iter_parts()
    assert shown(first) == "Hello\n"
    assert shown(second) == "a.pdf was removed: ü\n"
    assert b"%PDF" not in after
    start = structure([before]).parts[1].start
    assert after[:start] == before[:start]


def test_a_message_that_is_nothing_but_the_part_becomes_the_note() -> None:
    before = crlf('Subject: x\nMIME-Version: 1.0\nContent-Type: application/pdf;\n name="a.pdf"\n\n%PDF')
    found = parsed(rewriting.replaced(before, note))
    assert (found["Subject"], found["MIME-Version"], found.get_all("Content-Type")) == (
        "x", "1.0", ['text/plain; charset="utf-8"'],
    )  # fmt: skip
    assert shown(found) == "a.pdf was removed: ü\n"


def test_parts_deep_inside_are_found() -> None:
    octets = made("Hello\n", file=b"%PDF")
    outer = EmailMessage(policy=email.policy.SMTP)
    outer.set_content("see below")
    outer.add_attachment(parsed(octets))
    after = rewriting.replaced(outer.as_bytes(), note)
    assert b"a.pdf was removed" in after
    assert [part.media for part in structure([after]).walk()].count(b"application/pdf") == 0


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("Content-Disposition: attachment; filename=a.txt", "a.txt"),
        ('Content-Type: text/plain; name="=?utf-8?q?=C3=BC?=.txt"', "ü.txt"),
        ("Content-Disposition: attachment; filename*=utf-8''%e2%80%ae.txt", "\u202e.txt"),
        ("Content-Disposition: attachment; filename*0=a; filename*1=b.exe", "ab.exe"),
        ("Content-Type: text/plain", ""),
    ],
)
def test_the_name_of_a_file(field: str, name: str) -> None:
    assert rewriting.name(structure([crlf(f"{field}\n\n")])) == name


@given(st.binary(max_size=300) | st.lists(st.sampled_from(MIXED.splitlines() + SEALED)).map("\n".join).map(crlf))
def test_any_octets_are_taken(octets: bytes) -> None:
    footed(octets)
    rewriting.replaced(octets, lambda part: "gone")
    assert rewriting.replaced(octets, lambda part: None) is octets
