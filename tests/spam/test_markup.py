"""What HTML shows and what it hides, and URLs."""

import pytest

from engine.spam.markup import Link, seen
from engine.spam.urls import in_text, named_site, parsed


@pytest.mark.parametrize(
    ("html", "text", "hidden"),
    [
        ("one <b>two</b>", "one two", 0),
        ('<p style="DISPLAY : none">gone</p>seen', "seen", 4),
        ("<div hidden>gone<div>too</div>and</div>seen", "seen", 10),
        ("<span style='font-size:0'>gone</span>seen", "seen", 4),
        ("<span style='font-size:0.9em'>seen</span>", "seen", 0),
        ("<td style='opacity:0'>gone</td>seen", "seen", 4),
        ("<td style='opacity:0.8'>seen</td>", "seen", 0),
        ('<span style="display:none">never ends', "never ends", 0),
        ('<img style="display:none" src=x>seen', "seen", 0),
        ("<input type=hidden name=x>seen", "seen", 0),
    ],
)
def test_hidden_text(html: str, text: str, hidden: int) -> None:
    found = seen(html)
    assert (found.text.split(), found.hidden) == (text.split(), hidden)


def test_links_and_images() -> None:
    html = (
        '<a class=x href="http://one.test/?a=1&amp;b=2">two <b>words</b></a><a href=http://two.test>'
        "<img src='https://three.test/x.gif'></a><a name=x>no</a><form><script>x()</script>"
    )
    found = seen(html)
    assert found.links == (Link("http://one.test/?a=1&b=2", "two words"), Link("http://two.test", ""))
    assert found.images == ("https://three.test/x.gif",)
    assert (found.is_active, found.has_form) == (True, True)


@pytest.mark.parametrize(
    ("url", "host", "site", "is_address"),
    [
        ("https://www.shop.example.co.uk/x", "www.shop.example.co.uk", "example.co.uk", False),
        ("HTTP://EXAMPLE.com:8080", "example.com", "example.com", False),
        ("http://user@192.0.2.7/x", "192.0.2.7", "192.0.2.7", True),
        ("http://3221225991/", "192.0.2.7", "192.0.2.7", True),
        ("http://[2001:db8::1]/", "2001:db8::1", "2001:db8::1", True),
        ("http://b\u00fccher.example/", "xn--bcher-kva.example", "xn--bcher-kva.example", False),
        ("//example.com/x", "example.com", "example.com", False),
        ("www.example.com", "www.example.com", "example.com", False),
        ("http://ex%61mple.com", "example.com", "example.com", False),
    ],
)
def test_parsed(url: str, host: str, site: str, is_address: bool) -> None:
    found = parsed(url)
    assert found is not None
    assert (found.host, found.site, found.is_address) == (host, site, is_address)


@pytest.mark.parametrize(
    "url", ["mailto:a@b.test", "javascript:x()", "data:text/html,x", "#top", "", "http://", "x", "http:\\\\x"]
)
def test_what_is_no_url_of_the_web(url: str) -> None:
    assert parsed(url) is None


def test_urls_in_text() -> None:
    assert in_text("see http://a.test/x, (www.b.test). HTTPS://c.test!") == [
        "http://a.test/x",
        "www.b.test",
        "HTTPS://c.test",
    ]


def test_a_domain_in_a_text() -> None:
    assert named_site("Go to www.Bank.example.com now") == "example.com"
    assert named_site("click here") is None
