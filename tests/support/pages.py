"""The pages of a server in a browser: who visits them, how they look, and what axe-core finds in them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.chromium import hear, patient, picture
from tests.support.server import PASSWORD, Postroad

PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 860}

SETTINGS: dict[str, Any] = {
    "listen": {"web": "127.0.0.1:0", "submission": "127.0.0.1:0"},
    "lane": {"outbound": {"listen": ["submission"], "stages": ["submit", "queue", "route"]}},
    "stage": {"submit": {"use": "stages.accept", "login": "required"}},
}
"""A server with pages, from which one can send."""


@dataclass(frozen=True)
class Look:
    """How somebody sees pages: in which light, how wide, in which language."""

    scheme: str
    viewport: dict[str, int]
    locale: str

    @property
    def options(self) -> dict[str, Any]:
        """For the browser. Without the policy of our pages, for axe-core is a script of somebody else's."""
        return {
            "viewport": self.viewport, "locale": self.locale, "color_scheme": self.scheme, "bypass_csp": True
        }  # fmt: skip

    def __str__(self) -> str:
        return f"{self.scheme}-{self.viewport['width']}-{self.locale}"


in_each_look = pytest.mark.parametrize(
    "look",
    [Look("light", WIDE, "en"), Look("dark", WIDE, "vi"), Look("light", PHONE, "vi"), Look("dark", PHONE, "en")],
    ids=["light-wide", "dark-wide", "light-phone", "dark-phone"],
)


def site(server: Postroad, path: str = "/") -> str:
    return f"http://localhost:{server.ports['web']}{path}"


@contextlib.contextmanager
def visit(browser: Browser, *, expected: str = "", **options: Any) -> Iterator[Page]:
    """A page of a browser of its own. Whatever it complains of, such as what the policy of the page forbids, fails."""
    mistakes: list[str] = []
    context: BrowserContext = browser.new_context(**{"viewport": WIDE, "locale": "en-GB", **options})
    try:
        page = patient(context.new_page())
        hear(page, mistakes)
        page.on("dialog", lambda dialog: dialog.accept())
        yield page
        complaints = [one for one in mistakes if not expected or expected not in one]
        assert not complaints, complaints  # pytest shows no more of an assertion that is in no test
    finally:
        context.close()


def loaded(page: Page, selector: str) -> None:
    """Until the page that has this has come, and its scripts: before that nobody hears what is pressed there."""
    page.wait_for_selector(selector)
    page.wait_for_load_state()


def sign_in(page: Page, server: Postroad, address: str, password: str = PASSWORD, path: str = "/") -> None:
    """As somebody does who reads English."""
    page.goto(site(server, path))
    page.get_by_label("Address").fill(address)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def enter(page: Page, server: Postroad, address: str, path: str = "/sign-in") -> None:
    """Sign in, whatever the language of the page is."""
    page.goto(site(server, path))
    page.locator("input[name=address]").fill(address)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("form[action='/sign-in'] button").click()
    page.wait_for_url(lambda url: "/sign-in" not in url)


def unfold(page: Page) -> None:
    """Open whatever is folded."""
    for one in page.locator("details").all():
        one.evaluate("element => element.open = true")


def faults(page: Page, axe: str, *, iframes: bool = True) -> list[tuple[str, list[str]]]:
    """What axe-core finds in the page: rules, and elements that break them; and whether it is wider than the window."""
    page.evaluate(axe)
    result = page.evaluate("iframes => axe.run({resultTypes: ['violations'], iframes})", iframes)
    found = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in result["violations"]]
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*found, ("too wide", [f"{wide} pixels"])] if wide > 0 else found


def shot(page: Page, name: str) -> None:
    """Keep what the whole of the page looks like, if that is wanted."""
    picture(page, name, whole=True)
