"""Debian's Chromium, driven by Playwright."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.support.server import PATIENCE

PROGRAM = "/usr/bin/chromium"

PICTURES = os.environ.get("POSTROAD_PICTURES", "")
"""A folder in which pictures of pages are kept; empty: they are not."""

expect.set_options(timeout=1000 * PATIENCE)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none."""
    if not Path(PROGRAM).exists():
        if os.environ.get("POSTROAD_NO_SKIPS"):
            raise AssertionError(f"{PROGRAM} is not installed")
        pytest.skip(f"{PROGRAM} is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def patient(page: Page) -> Page:
    """Whoever does something on it waits, however long it takes, until it has loaded: a browser shows what one can
    click before the scripts have run that listen for clicks."""
    page.set_default_timeout(1000 * PATIENCE)
    page.add_init_script("addEventListener('load', () => { document.documentElement.dataset.loaded = '' })")
    page.add_locator_handler(page.locator("html:not([data-loaded])"), lambda _: page.wait_for_load_state())
    return page


def hear(page: Page, mistakes: list[str]) -> None:
    """Gather what the page complains of. Not that the script of ``patient`` may not run in the frame of a letter."""

    def said(message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Blocked script execution in "):
            mistakes.append(message.text)

    page.on("pageerror", lambda error: mistakes.append(str(error)))
    page.on("console", said)


def picture(page: Page, name: str, *, whole: bool = False) -> None:
    """Keep what the page looks like, the part that is seen or the whole of it, if that is wanted."""
    if PICTURES:
        Path(PICTURES).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{PICTURES}/{name}.png", full_page=whole)
