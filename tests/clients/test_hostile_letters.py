"""Hostile letters in a real browser, in the frame in which we show letters: no script runs, no request leaves."""

import pytest

from engine.web.mail.cleaning import cleaned
from engine.web.mail.frame import page as framed
from engine.web.mail.frame import policy
from tests.support.chromium import chromium
from tests.support.hostile_html import ELSEWHERE, every

pytestmark = pytest.mark.client

HERE = "http://mail.test"
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
TITLE = "nothing has happened"
AT_ONCE = 60
"""Letters of one page."""


def outer(numbers) -> str:
    """The page of ours in which the frames stand."""
    frames = "".join(f'<iframe sandbox="{SANDBOX}" src="{HERE}/{number}"></iframe>' for number in numbers)
    return f"<!doctype html><meta charset=utf-8><title>{TITLE}</title>{frames}"


class Server:
    """Answers the browser for HERE, and notes what it asks of anybody else."""

    def __init__(self, bodies: list[str]) -> None:
        self.bodies = bodies
        self.left: list[str] = []
        self.pages: dict[str, str] = {}

    def __call__(self, route) -> None:
        address = route.request.url
        path = address.removeprefix(f"{HERE}/")
        if path in self.pages:
            route.fulfill(status=200, content_type="text/html", body=self.pages[path])
        elif address.startswith(HERE) and path.isdigit():
            headers = {"content-security-policy": policy(HERE), "content-type": "text/html; charset=utf-8"}
            route.fulfill(status=200, headers=headers, body=framed(self.bodies[int(path)]))
        else:
            self.left.append(address)
            route.abort()


def shown(bodies: list[str]) -> tuple[Server, list[str]]:
    """All of them shown; the server, and what was noticed: dialogs, windows, other titles."""
    server, noticed = Server(bodies), list[str]()
    with chromium() as browser:
        context = browser.new_context()
        context.route("**/*", server)
        for start in range(0, len(bodies), AT_ONCE):
            some = range(start, min(start + AT_ONCE, len(bodies)))
            server.pages["outer"] = outer(some)
            page = context.new_page()
            page.on("dialog", lambda dialog: (noticed.append(f"dialog {dialog.message}"), dialog.dismiss()))
            page.on("popup", lambda window: noticed.append(f"window {window.url}"))
            page.goto(f"{HERE}/outer", wait_until="load")
            if page.title() != TITLE:
                noticed.append(f"one of {some} changed the title")
            if page.url != f"{HERE}/outer":
                noticed.append(f"one of {some} went to {page.url}")
            page.close()
    return server, noticed


def test_cleaned_letters_run_nothing_and_ask_nobody():
    bodies = [cleaned(html, inline=lambda _: None).html for _, html in every()]
    server, noticed = shown(bodies)
    assert noticed == []
    assert server.left == []


def test_even_as_they_came_the_frame_lets_no_script_run():
    server, noticed = shown([html for _, html in every()])
    assert [one for one in noticed if "went to" not in one] == []
    # A frame may be led elsewhere by what it holds: that is what the cleaning is for.
    assert all(address.startswith((ELSEWHERE, f"{HERE}/", "http://elsewhere.test")) for address in server.left)
