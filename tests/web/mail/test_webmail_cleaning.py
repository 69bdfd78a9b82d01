"""Mail HTML made harmless: nothing of a known attack is left, and what people write is."""

import contextlib
import re
from html.parser import HTMLParser

import pytest

from engine.web.mail import styles
from engine.web.mail.cleaning import ATTRIBUTES, DEEPEST, TAGS, TooDeep, cleaned
from engine.web.mail.frame import page, policy, text
from tests.support.hostile_html import every

LINKS = re.compile(r"(https?://|mailto:|tel:)\S*", re.IGNORECASE)


class Seen(HTMLParser):
    """All elements and attributes in what was written, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data):
        self.text += data


def tree(html: str):
    seen = Seen(html)
    return seen.found, seen.text


def clean(html: str, **options):
    return cleaned(html, inline=lambda cid: f"/mail/seen/{cid}" if cid == "logo@a.test" else None, **options)


@pytest.mark.parametrize("payload", [html for _, html in every()], ids=[name for name, _ in every()])
def test_nothing_of_an_attack_is_left(payload):
    once = clean(payload).html
    for tag, attributes in Seen(once).found:
        assert tag in TAGS
        for name, value in attributes.items():
            assert name in ATTRIBUTES["*"] | ATTRIBUTES.get(tag, frozenset()) | {"rel", "target"}
            if name == "href":
                assert LINKS.fullmatch(value)
            if name == "src":
                assert value.startswith(("/mail/seen/", "data:image/png", "data:image/gif", "data:image/jpeg"))
            if name == "style":
                assert "(" not in value or re.fullmatch(r"[^(]*(?:rgba?|hsla?)\([\d%.,\s/]*\)[^(]*", value)
                assert "\\" not in value
    assert tree(clean(once).html) == tree(once), "read a second time it is another thing"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("<p>Hello <b>you</b></p>", "<p>Hello <b>you</b></p>"),
        ("Xin chào, đây là thư", "Xin chào, đây là thư"),
        ("<p style='color: #333; font-size: 14px'>x</p>", '<p style="color:#333;font-size:14px">x</p>'),
        ("<p style='color: rgb(1, 2, 3)'>x</p>", '<p style="color:rgb(1, 2, 3)">x</p>'),
        ("<p style='position: fixed; color: red'>x</p>", '<p style="color:red">x</p>'),
        ("<td bgcolor='#fff' width=20>x</td>", "x"),
        ("<img src='cid:logo@a.test' alt=Logo>", '<img src="/mail/seen/logo@a.test" alt="Logo">'),
        ("<img src='cid:other' alt=Logo>", '<img alt="Logo">'),
        ("<form><input name=a>Name</form>", "Name"),
        ("<p class=x id=y onclick=z>x</p>", "<p>x</p>"),
        ("<script>x</script><p>y", "<p>y</p>"),
    ],
)
def test_what_people_write_is_left(written, shown):
    assert re.sub(r'(style="[^"]*?): ', r"\1:", clean(written).html).replace("; ", ";") == shown


def test_a_link_opens_apart_and_tells_nobody_where_it_stood():
    ((tag, attributes),) = Seen(clean("<a href='https://a.test/b?c=d#e' target=_top rel=opener>x</a>").html).found
    assert tag == "a"
    assert attributes == {
        "href": "https://a.test/b?c=d#e", "target": "_blank", "rel": "noopener noreferrer",
    }  # fmt: skip


def test_what_is_elsewhere_is_left_out_until_it_is_asked_for():
    html = "<img src='https://a.test/1.png'><img src='//a.test/2.png'><p style='background: url(https://a.test/3)'>x"
    assert clean(html).remote == 3
    assert "a.test" not in clean(html).html
    asked = clean(html, remote=lambda address: f"/mail/seen/{address.replace('/', '-')}")
    assert asked.remote == 3
    sources = [attributes["src"] for tag, attributes in Seen(asked.html).found if tag == "img"]
    assert sources == ["/mail/seen/https:--a.test-1.png", "/mail/seen/https:--a.test-2.png"]
    assert "url(" not in asked.html


@pytest.mark.parametrize(
    ("style", "kept", "fetching"),
    [
        ("color: red", "color: red", 0),
        ("COLOR: Red; MARGIN: 0 auto", "color: Red; margin: 0 auto", 0),
        ("color: red; background: url(x); width: 10%", "color: red; width: 10%", 1),
        ("font-family: 'Noto Sans', serif", "font-family: 'Noto Sans', serif", 0),
        ("font-family: 'odd", "", 0),
        ("color: red /* ; */; /* width: 1px", "color: red", 0),
        ("width: calc(1px + 2px)", "", 0),
        ("color: var(--x)", "", 0),
        ("colo\\72: red; color: r\\65 d", "", 0),
        ("position: fixed; z-index: 9; transform: none", "", 0),
        ("color", "", 0),
        ("", "", 0),
        ("width: 1px !important", "width: 1px !important", 0),
    ],
)
def test_declarations(style, kept, fetching):
    assert styles.kept(style) == (kept, fetching)


@pytest.mark.parametrize(
    "unit",
    ["<div>", "<b>", "<b a=1>", "<p <", "<a <b <", "</x>", "<table><td>", "&#", "<!--", "<p style='color:", "<i><p>"],
)
def test_a_long_letter_comes_to_an_end_or_is_too_deep(unit):
    with contextlib.suppress(TooDeep):
        assert len(clean(unit * (200_000 // len(unit))).html) < 4_000_000


def test_only_what_goes_deep_is_too_deep():
    clean("<p>" * 5000 + "<li>x" * 5000 + "<br>" * 5000 + "<div></div>" * 5000)
    clean("<table><tr><td>" * (DEEPEST // 2) + "</td></tr></table>" * (DEEPEST // 2))
    with pytest.raises(TooDeep):
        clean("<div>" * (DEEPEST + 1))


def test_plain_text_is_shown_as_it_is_with_its_links():
    shown = text('Look: https://a.test/x?y=<z>, <b>now</b>\r\n> "quoted"')
    assert '<a href="https://a.test/x?y=" target="_blank" rel="noopener noreferrer">https://a.test/x?y=</a>' in shown
    assert "&lt;b&gt;now&lt;/b&gt;" in shown
    assert '<span class="quoted">&gt; &quot;quoted&quot;</span>' in shown


def test_the_frame_lets_nothing_be_fetched_from_elsewhere():
    found = policy("https://mail.a.test")
    assert found.startswith("default-src 'none'; img-src https://mail.a.test data:;")
    assert "script-src" not in found
    assert "allow-scripts" not in found
    assert "allow-same-origin" not in found
    assert "</title><script>" not in page("x", title="</title><script>")
