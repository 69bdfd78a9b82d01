"""Rules: a message for each, and one that none finds fault with."""

import base64
import io
import zipfile
from collections.abc import Mapping

import pytest

from engine.message import Fact, Session
from engine.spam import Case, Letter
from engine.spam.rules import RULES, matched
from engine.spam.rules.body import GTUBE

ARRIVED = 1_700_000_000.0  # 14 Nov 2023 22:13:20 UTC

FIELDS = {
    "From": "Ann Smith <ann@shop.example.com>",
    "To": "Bob <bob@example.org>",
    "Subject": "Minutes of our meeting",
    "Date": "Tue, 14 Nov 2023 22:10:00 +0000",
    "Message-ID": "<1@shop.example.com>",
    "Received": "from a (a [192.0.2.1]) by b; Tue, 14 Nov 2023 22:10:00 +0000",
}
TEXT = "Dear Bob, here is what we said: https://shop.example.com/minutes\n"
RUSSIAN = "\u0417\u0434\u0440\u0430\u0432\u0441\u0442\u0432\u0443\u0439\u0442\u0435 " * 9
PAGE = (
    "<html><body><p>Dear Bob, here is what we said, as always on our <a href='https://shop.example.com/x'>page</a></p>"
)


def case(fields: Mapping[str, str | None] = {}, body: str = TEXT, facts: Mapping[str, Fact] = {}) -> Case:
    said = {**FIELDS, **fields}
    section = "".join(f"{name}: {value}\r\n" for name, value in said.items() if value is not None)
    octets = f"{section}\r\n{body}".encode()
    return Case(Letter((octets,)), Session("192.0.2.1", "a"), facts, ARRIVED)


def page(body: str) -> Case:
    return case({"Content-Type": "text/html; charset=utf-8"}, body)


def link(url: str, shown: str = "here") -> Case:
    return case({"Content-Type": "multipart/alternative; boundary=b"}, (
        f"--b\r\n\r\n{TEXT}\r\n--b\r\nContent-Type: text/html\r\n\r\n{PAGE}<a href='{url}'>{shown}</a>\r\n--b--\r\n"
    ))  # fmt: skip


def attached(name: str, octets: bytes, media: str = "application/octet-stream") -> Case:
    content = base64.encodebytes(octets).decode()
    return case({"Content-Type": "multipart/mixed; boundary=b"}, (
        f"--b\r\n\r\n{TEXT}\r\n--b\r\nContent-Type: {media}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: attachment; filename=\"{name}\"\r\n\r\n{content}\r\n--b--\r\n"
    ))  # fmt: skip


def encrypted() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.doc", b"x")
    octets = bytearray(file.getvalue())
    octets[6] |= 1
    return bytes(octets)


CASES: list[tuple[str, Case]] = [
    ("NO_DATE", case({"Date": None})),
    ("WRONG_DATE", case({"Date": "yesterday"})),
    ("DATE_IN_FUTURE", case({"Date": "Thu, 16 Nov 2023 22:10:00 +0000"})),
    ("DATE_IN_PAST", case({"Date": "Tue, 14 Nov 2000 22:10:00 +0000"})),
    ("NO_MESSAGE_ID", case({"Message-ID": None})),
    ("WRONG_MESSAGE_ID", case({"Message-ID": "<x>"})),
    ("NO_FROM", case({"From": None})),
    ("NO_FROM", case({"From": "nobody"})),
    ("MANY_FROM", case({"From": "a@example.com\r\nFrom: b@example.net"})),
    ("NO_SUBJECT", case({"Subject": " "})),
    ("NO_RECIPIENT", case({"To": None})),
    ("MANY_RECIPIENTS", case({"To": ", ".join(f"p{number}@example.org" for number in range(20))})),
    ("REPLY_ELSEWHERE", case({"Reply-To": "ann.smith@freemail.example.net"})),
    ("NAME_IS_OTHER_ADDRESS", case({"From": '"service@bank.example.net" <x@shop.example.com>'})),
    ("IMPOSSIBLE_RECEIVED", case({"Received": "from x (x [300.1.2.3]) by y; Tue, 14 Nov 2023 22:10:00 +0000"})),
    ("CAPITALS_IN_SUBJECT", case({"Subject": "BUY THIS NOW"})),
    ("SPACED_SUBJECT", case({"Subject": "c h e a p p i l l s"})),
    ("SUBJECT_WITH_TAIL", case({"Subject": "Hello              x7f3kq"})),
    ("DISGUISED_SUBJECT", case({"Subject": "cheap vi\u0430gra"})),
    ("DISGUISED_SUBJECT", case({"Subject": "cheap vi\u200bagra"})),
    ("FALSE_REPLY", case({"Subject": "Re: your account"})),
    ("RECIPIENT_IN_SUBJECT", case({"Subject": "robert, buy", "To": "robert@example.org"})),
    ("BULK_WITHOUT_UNSUBSCRIBE", case({"Precedence": "bulk"})),
    ("GTUBE", case({}, GTUBE)),
    ("HIDDEN_TEXT", page(f"<p>Buy this</p><div style='display:none'>{'poetry and prose ' * 40}</div>")),
    ("IMAGES_ALONE", page("<img src='https://shop.example.com/x.gif'>")),
    ("MARKUP_ALONE", page(PAGE)),
    ("ACTIVE_MARKUP", page(f"{PAGE}<script>x()</script>")),
    ("FORM", page(f"{PAGE}<form action=x>")),
    ("DISGUISED_WORDS", case({}, "ch\u0435ap vi\u0430gra f\u043er you")),
    ("CHARACTERS_WITHOUT_WIDTH", case({}, "vi\u200bagra " * 5)),
    ("LINK_TO_ADDRESS", link("http://192.0.2.7/x")),
    ("LINK_WITH_LOGIN", link("http://bank.example.net@shop.example.com/")),
    ("LINK_LOOKS_ALIKE", link("http://xn--80ak6aa92e.com/")),
    ("LINK_LOOKS_ALIKE", link("http://p\u0430ypal.example/")),
    ("LINK_SHORTENED", link("https://bit.ly/x")),
    ("MANY_SITES", case({}, " ".join(f"http://site{number}.test/" for number in range(15)))),
    ("LINK_LEADS_ELSEWHERE", link("http://shop.example.com/", "www.bank.example.net")),
    ("LINK_IS_NO_ADDRESS", link("javascript:x()")),
    ("PROGRAM_ATTACHED", attached("bill.scr", b"x")),
    ("PROGRAM_ATTACHED", attached("bill.pdf", b"MZ" + bytes(300))),
    ("PROGRAM_ATTACHED", attached("bill.scr. ", b"x")),
    ("DOUBLE_SUFFIX", attached("bill.pdf.exe", b"x")),
    ("TURNED_NAME", attached("bill\u202efdp.exe", b"x")),
    ("ACTIVE_PAGE_ATTACHED", attached("form.html", b"<script>x()</script>", "text/html")),
    ("ACTIVE_PAGE_ATTACHED", attached("form.shtml", b"<input type='password'>")),
    ("ENCRYPTED_ARCHIVE", attached("bill.zip", encrypted())),
    ("SPF_FAIL", case(facts={"spf.result": "fail"})),
    ("SPF_SOFTFAIL", case(facts={"spf.result": "softfail"})),
    ("DMARC_FAIL", case(facts={"dmarc.result": "fail", "dmarc.policy": "none"})),
    ("DMARC_REFUSED", case(facts={"dmarc.result": "fail", "dmarc.policy": "reject"})),
    ("DMARC_PASS", case(facts={"dmarc.result": "pass"})),
    ("NOTHING_PROVED", case(facts={"spf.result": "none", "dkim.passed": []})),
    ("NO_REVERSE_NAME", case(facts={"iprev.result": "fail"})),
]

CLEAN: dict[str, Case] = {
    "plain": case(),
    "page with the same in text": link("https://shop.example.com/y", "www.shop.example.com"),
    "a tracked link without a name": link("https://track.example.net/abc", "Read more"),
    "reply": case({"Subject": "Re: minutes", "In-Reply-To": "<2@example.org>"}),
    "list": case({"Reply-To": "talk@lists.example.net", "List-Id": "<talk>", "Precedence": "bulk"}),
    "Russian": case({"Subject": "\u041f\u0440\u043e\u0442\u043e\u043a\u043e\u043b"}, RUSSIAN),
    "Persian with joiners": case({}, "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645 " * 9),
    "document": attached("minutes.v2.pdf", b"%PDF-1.7 " * 100, "application/pdf"),
    "archive": attached("minutes.zip", b"PK\x03\x04\x14\x00\x00\x00" + bytes(100)),
    "proved": case(facts={"spf.result": "pass", "dkim.passed": ["example.com"], "iprev.result": "pass"}),
    "German name of a host": link("http://b\u00fccher.example/"),
}  # fmt: skip


@pytest.mark.parametrize(("symbol", "found"), CASES, ids=[symbol for symbol, _ in CASES])
def test_each_rule_finds_what_it_is_for(symbol: str, found: Case) -> None:
    assert symbol in matched(found, {})


def test_every_rule_has_a_case() -> None:
    assert {symbol for symbol, _ in CASES} == set(RULES)


@pytest.mark.parametrize("name", CLEAN)
def test_clean_mail(name: str) -> None:
    assert matched(CLEAN[name], {}) == {}


def test_what_our_people_send_need_not_be_whole() -> None:
    bare = Letter((b"From: bob@example.org\r\nTo: ann@example.net\r\nSubject: x\r\n\r\nHello Ann, how are you?\r\n",))
    assert set(matched(Case(bare), {})) == {"NO_DATE", "NO_MESSAGE_ID"}
    assert matched(Case(bare, Session(login="bob@example.org")), {}) == {}


def test_weights_are_for_the_operator_to_say() -> None:
    found = case({"Date": None, "Message-ID": None})
    assert matched(found, {"NO_DATE": 0, "NO_MESSAGE_ID": 7.5}) == {"NO_MESSAGE_ID": 7.5}


@pytest.mark.parametrize(
    "octets", [b"", b"\r\n", b"\0", b"From: \r\nDate:\r\nTo:<\r\n\r\n", b"Subject: " + b"x " * 9000]
)
def test_rubbish_breaks_no_rule(octets: bytes) -> None:
    matched(Case(Letter((octets,))), {})
