"""Signing in at a provider as people do it: a real server, a real provider (npm oidc-provider), real Chromium."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.chromium import patient, picture
from tests.support.programs import needs, run
from tests.support.server import Postroad, free_port, until

pytestmark = pytest.mark.client

ANN, BOB = "ann@example.org", "bob@example.org"
PROVIDER = "oidc-provider@9.13.3"
SCRIPT = Path(__file__).parent / "oidc_provider.mjs"
SECRET = "s3cret of 100 % : strange signs"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the provider can be run."""
    folder = tmp_path_factory.mktemp("provider")
    run("npm", "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", PROVIDER)
    shutil.copy(SCRIPT, folder)
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(tmp_path: Path, port: int) -> Iterator[Postroad]:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    provider = {
        "issuer": f"http://127.0.0.1:{port}", "client_id": "postroad", "client_secret_file": "secret",
        "label": "The Firm", "scopes": ["openid", "email", "groups"], "roles": {"mail-admins": ["owner"]},
    }  # fmt: skip
    settings = {"listen": {"web": "127.0.0.1:0"}, "web": {"processes": 2, "oidc": {"firm": provider}}}
    with Postroad(tmp_path, settings) as server:
        yield server.account(ANN, BOB)


@contextlib.contextmanager
def provided(package: Path, port: int, server: Postroad, claims: str) -> Iterator[None]:
    """The provider runs."""
    site = f"http://localhost:{server.ports['web']}"
    command = ["node", str(package / SCRIPT.name), str(port), site, claims]
    with subprocess.Popen(command, cwd=package, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            until(lambda: process.stdout.readline() == "ready\n", "a provider")  # type: ignore[union-attr]
            yield
        finally:
            process.kill()


@contextlib.contextmanager
def visit(browser: Browser, server: Postroad) -> Iterator[Page]:
    """A page of a browser of its own. Whatever it complains of, where that is a page of ours, fails."""
    mistakes: list[str] = []
    site = f"http://localhost:{server.ports['web']}"
    context = browser.new_context(locale="en-GB", base_url=site)
    try:
        context.route("**://fonts.googleapis.com/**", lambda asked: asked.abort())  # which the provider's pages want
        page = patient(context.new_page())
        page.on(
            "console",
            lambda said: (
                mistakes.append(said.text)
                if said.type == "error"
                and said.location["url"].startswith(site)
                and not {"401", "403"} & set(said.text.split())
                else None
            ),
        )
        yield page
        assert mistakes == []
    finally:
        context.close()


def sign_in(page: Page, name: str, path: str = "/sign-in?next=/account") -> None:
    """From our page to the provider's, and back."""
    page.goto(path)
    page.get_by_role("link", name="Sign in with The Firm").click()
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("whatever")
    page.locator("button[type=submit]").click()
    page.locator("button[type=submit]", has_text="Continue").click()
    page.wait_for_url("**://localhost:*/**")


@needs("node", "npm")
@pytest.mark.parametrize("claims", ["few", "all"])
def test_a_day_of_somebody_who_signs_in_elsewhere(
    package: Path, port: int, server: Postroad, browser: Browser, claims: str
) -> None:
    with provided(package, port, server, claims), visit(browser, server) as page:
        page.goto("/admin/overview")
        picture(page, "sign-in-with-provider")
        sign_in(page, "ann", "/admin/overview")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()  # a group of Ann's makes her owner
        assert server.wait_for("web-session-begun", address=ANN)["provider"] == "firm"

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
        picture(page, "signed-out-here")
        page.get_by_role("link", name="Sign out at The Firm too").click()
        page.get_by_role("button", name="Yes, sign me out").click()
        page.wait_for_url("**://localhost:*/sign-in*")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()

        sign_in(page, "bob")
        expect(page.get_by_role("link", name=BOB)).to_be_visible()
        assert page.goto("/admin/overview").status == 403  # type: ignore[union-attr]
        there = page.context.new_page()  # who signs out at the provider is signed out here
        there.goto(f"http://127.0.0.1:{port}/session/end")
        there.get_by_role("button", name="Yes, sign me out").click()
        assert server.wait_for("web-oidc-left", sessions=1)["provider"] == "firm"
        page.goto("/account")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@needs("node", "npm")
def test_who_does_not_get_in_is_told_why(package: Path, port: int, server: Postroad, browser: Browser) -> None:
    with provided(package, port, server, "few"):
        for name, words in (
            ("carl", "There is no mailbox carl@example.org here."),
            ("mallory", "does not tell us an address of yours"),
        ):
            with visit(browser, server) as page:
                sign_in(page, name)
                expect(page.get_by_role("alert")).to_contain_text(words)
                picture(page, f"no-sign-in-{name}")
        with visit(browser, server) as page:
            page.goto("/sign-in")
            page.get_by_role("link", name="Sign in with The Firm").click()
            page.get_by_role("link", name="Cancel").click()
            expect(page.get_by_role("alert")).to_have_text("The Firm has not let you in.")
    assert not [line for line in server.noise if SECRET in line]
    assert not [event for event in server.events if SECRET in str(event)]
