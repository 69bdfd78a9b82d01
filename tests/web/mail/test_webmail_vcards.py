"""vCards: read and written, of both versions, and hostile ones."""

import random
import time

import pytest

from engine.web.mail import vcard
from engine.web.mail.vcard import Broken, Card, content_line, read, split, unescaped, written


def card(*lines: str, version: str = "4.0") -> bytes:
    return "\r\n".join(("BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD", "")).encode()


FULL = Card(
    "Nguyễn, Thị; Hoa\\",
    "urn:uuid:4fbe8971-0bc3-424c-9c26-36c3e1eff6b1",
    ("hoa@example.org", "hoa@home.example"),
    ("Work", "Chess, and tea"),
    "First line\nsecond; line, with \\n in it",
    "Công ty; Một",
    ("+84 24 1234", "+84 90 1234"),
    ("N:Nguyễn;Hoa;Thị;;", "BDAY:19850412", "ADR;TYPE=home:;;1 Main St\\, back;Hanoi;;10000;Việt Nam"),
)


@pytest.mark.parametrize("version", ["3.0", "4.0"])
def test_what_is_written_is_read_as_it_was(version):
    octets = b"".join(written([FULL], version))
    assert read(octets) == ((FULL,), ())
    assert f"VERSION:{version}\r\n".encode() in octets
    for line in octets.split(b"\r\n"):
        assert len(line) <= 75
        line.decode()  # no character is cut


def test_a_card_of_version_3_has_a_structured_name():
    octets = b"".join(written([Card("Ann Lee")], "3.0"))
    assert b"\r\nN:Ann Lee;;;;\r\n" in octets
    assert b"\r\nN:" not in b"".join(written([Card("Ann Lee")], "4.0"))


def test_a_card_as_others_write_it():
    octets = card(
        "item1.EMAIL;type=INTERNET;type=HOME:Ann@Home.example",
        "EMAIL;TYPE=INTERNET,PREF:ann@work.example",
        "item1.X-ABLabel:_$!<Home>!$_",
        "N:Lee;Ann;M.;;",
        "FN:Ann M. Lee",
        "PHOTO;ENCODING=b;TYPE=JPEG:" + "A" * 60,
        " " + "A" * 70,
        "ORG:Firm\\, Ltd.;Sales",
        "TEL;TYPE=CELL:+1 555 1",
        "CATEGORIES:Friends,Chess\\, tea",
        "NOTE:one\\ntwo",
        "X-PHONETIC-LAST-NAME:Li",
        version="3.0",
    ).replace(b"\r\n", b"\n")
    assert read(b"\xef\xbb\xbf" + octets).cards == (
        Card(
            "Ann M. Lee", "", ("ann@work.example", "ann@home.example"), ("Friends", "Chess, tea"), "one\ntwo",
            "Firm, Ltd.", ("+1 555 1",), ("N:Lee;Ann;M.;;",),
        ),
    )  # fmt: skip


def test_preferences_of_version_4():
    lines = ("FN:Ann", "EMAIL;PREF=20:b@x.example", "EMAIL:c@x.example", 'EMAIL;PREF=1;TYPE="work,home":a@x.example')
    assert read(card(*lines)).cards[0].addresses == ("a@x.example", "b@x.example", "c@x.example")


@pytest.mark.parametrize(
    "group",
    [
        card("KIND:group", "FN:Team", "UID:g", "MEMBER:urn:uuid:A-1", "MEMBER:mailto:nobody@x.example"),
        card("N:Team;;;;", "FN:Team", "X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER:urn:uuid:a-1",
             version="3.0"),
    ],
)  # fmt: skip
def test_a_group_is_known_to_its_members(group):
    found = read(group + card("FN:Ann", "UID:urn:uuid:a-1") + card("FN:Bob", "UID:b-2"))
    assert [(one.name, one.groups) for one in found.cards] == [("Ann", ("Team",)), ("Bob", ())]


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (("N:Lee;Ann;M.;Dr.;",), "Ann M. Lee"),
        (("ORG:Firm;Sales",), "Firm"),
        (("EMAIL:a@x.example",), "a@x.example"),
        (("FN: \t ", "N:;;;;", "ORG:Firm"), "Firm"),
        (("FN:a\\nb\u202e",), "a b"),
    ],
)
def test_the_name_of_somebody(lines, name):
    assert read(card(*lines)).cards[0].name == name


def test_a_broken_card_is_left_out_and_told_of():
    good = card("FN:Ann")
    octets = good + card("FN:Bob", "EMAIL:no address") + card("EMAIL;=x:a@b.example") + card("FN:Carl", version="2.1")
    octets += b"BEGIN:VCARD\r\nFN:Dora\r\n" + good + b"stray\r\nlines\r\nBEGIN:VCARD\r\nVERSION:4.0\r\n"
    found = read(octets)
    assert [one.name for one in found.cards] == ["Ann", "Ann"]
    assert [(one.line, str(one.why)) for one in found.troubles] == [
        (5, "an address is none"),
        (10, "a line is not well-formed"),
        (14, "the version is neither 3.0 nor 4.0"),
        (18, "the card does not end"),
        (24, "a line stands in no card"),
        (26, "the card does not end"),
    ]


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"", "no vCard"),
        (b"\n\n", "no vCard"),
        (card("FN:\xff").replace("ÿ".encode(), b"\xff"), "UTF-8"),
        (b"BEGIN:VCARD\r\n" + b"\0" * vcard.FILE, "too large"),
    ],
)
def test_what_is_no_file_of_vcards(octets, why):
    with pytest.raises(Broken, match=why):
        read(octets)


@pytest.mark.parametrize(
    "line",
    [
        "", ":", "FN", "F N:x", "FN;:x", "FN;TYPE:x", "FN;TYPE=\"x:y", "FN;TYPE=x\"y:z", ";FN:x", "FN\0:x", "FN:a\x00b",
        "FN:a\x1bb", "a.b.FN:x", ".FN:x", "FN;TÝPE=x:y", "Ü:x",
    ],
)  # fmt: skip
def test_what_is_no_content_line(line):
    with pytest.raises(Broken):
        content_line(line)


def test_a_content_line():
    found = content_line('item1.email;TYPE=a,"b;c:d",e;x-p=^n^^^\':v:alue;')
    assert (found.name, found.value) == ("EMAIL", "v:alue;")
    assert found.parameters == {"TYPE": ["a", "b;c:d", "e"], "X-P": ['\n^"']}
    assert found.whole.startswith("email;")


def test_values():
    assert split("a\\,b,c\\\\,d,", ",") == ["a\\,b", "c\\\\", "d", ""]
    assert unescaped("a\\,b\\;c\\\\d\\ne\\Nf\\x\\") == "a,b;c\\d\ne\nfx\\"


def test_nothing_that_is_written_ends_a_line_of_its_own():
    evil = "x\r\nEND:VCARD\r\nBEGIN:VCARD\nFN:evil"
    one = Card(evil, evil, ("a@x.example",), (evil,), evil, evil, (evil,))
    for version in ("3.0", "4.0"):
        text = b"".join(written([one], version)).decode()
        assert text.count("BEGIN:VCARD\r\n") == text.count("END:VCARD\r\n") == 1
        assert "\r\nFN:evil" not in text


HOSTILE = [
    b"BEGIN:VCARD\n" * 200_000,
    card("FN:a", *[f"EMAIL:{n}@x.example" for n in range(900)]),
    card("FN:a", *["X:1"] * 5000),
    card("FN:" + "a" * 1_000_000),
    card("FN:a", "NOTE:" + "\\" * 7000),
    card("FN:a", "CATEGORIES:" + "," * 7000),
    card("FN:a", "EMAIL;" + "A=b;" * 1900 + ":a@x.example"),
    card("FN:a", "EMAIL;A=" + '"",' * 2500 + ":a@x.example"),
    card("FN:a", "EMAIL;A=" + '"' * 7001 + ":a@x.example"),
    b"\n" * 5_000_000,
    b"BEGIN:VCARD\nVERSION:4.0\nFN:a\n" + b" a\n" * 2_000_000 + b"END:VCARD\n",
    card("KIND:group", "FN:g", *["MEMBER:urn:uuid:x"] * 990) * 500 + card("FN:a", "UID:x"),
]


@pytest.mark.parametrize("octets", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_files_take_no_more_than_they_may(octets):
    began = time.process_time()
    try:
        found = read(octets)
    except Broken:
        found = vcard.Read((), ())
    print(f"{len(octets):,} octets: {time.process_time() - began:.2f} s")
    assert len(found.cards) <= vcard.CARDS
    assert len(found.troubles) <= vcard.TOLD
    for one in found.cards:
        assert len(one.name) <= vcard.NAME
        assert len(one.note) <= vcard.NOTE
        assert len(one.addresses) <= vcard.ADDRESSES
        assert len(one.groups) <= vcard.GROUPS


def test_chance_does_not_break_it():
    chance = random.Random(6350)
    whole = b"".join(written([FULL], "4.0"))
    for _ in range(3000):
        octets = bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            octets[chance.randrange(len(octets))] = chance.choice(b'\r\n:;,\\"= \t\0A\xff')
        try:
            found = read(bytes(octets))
        except Broken:
            continue
        if not found.cards:
            continue
        for version in ("3.0", "4.0"):
            again = read(b"".join(written(found.cards, version)))
            assert again.troubles == ()
            assert [one.name for one in again.cards] == [one.name for one in found.cards]
