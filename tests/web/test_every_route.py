"""All that the site answers, by its own list: nothing of it is for strangers, and nothing is changed by other sites."""

import re
from collections.abc import Iterator

import pytest
from starlette.routing import Mount, Route

from tests.support.site import AUDITOR, OWNER, Site, csrf, site_of

ANN = "ann@example.org"
SAFE = {"GET", "HEAD", "OPTIONS"}

OPEN_CHANGES = {
    "/sign-in", "/sign-in/code", "/sign-in/passkey", "/sign-in/passkey/options", "/invitation", "/unsubscribe/{token}",
    "/quarantine", "/reports/tls", "/sign-out/by/{name}",
}  # fmt: skip
"""What strangers may post: each has a proof of its own, or believes nothing."""

BY_PAGES = {"/sign-in", "/sign-in/code", "/sign-in/passkey", "/sign-in/passkey/options", "/invitation"}
"""Those of them that are of our pages, so that no other site may have a browser post there."""

OPEN_PAGES = {
    "/", "/static/{hash}/{name:path}", "/sign-in", "/sign-in/with/{name}", "/sign-in/with/{name}/back", "/invitation",
    "/unsubscribe/{token}", "/quarantine", "/.well-known/mta-sts.txt", "/mail/seen/{pass}",
    "/admin/oversight/seen/{pass}",
}  # fmt: skip
"""What strangers may ask for. The last two open by a pass of which nobody can make one."""

OF_AUDITORS = ("/admin/oversight", "/admin/audit", "/admin/holds", "/admin/changes")
"""How the addresses begin of what auditors see of the administration."""


@pytest.fixture
async def site(tmp_path):
    async with site_of(tmp_path) as found:
        found.account(OWNER, "owner", "auditor", password=None)
        found.account(AUDITOR, "auditor", password=None)
        found.account(ANN, password=None)
        yield found


def routes(site: Site, *, changes: bool) -> Iterator[tuple[str, str]]:
    """Method and path of each."""
    for route in site.app.routes:
        if isinstance(route, Route):
            yield from (
                (method, route.path) for method in sorted(route.methods or ()) if (method not in SAFE) == changes
            )


def filled(path: str) -> str:
    return re.sub(r"{[^}]*}", "1", path)


async def test_there_are_many_and_those_for_strangers_are_there(site):
    changes = {path for _, path in routes(site, changes=True)}
    pages = {path for _, path in routes(site, changes=False)}
    assert len(changes) > 90
    assert len(pages) > 70
    assert changes >= OPEN_CHANGES
    assert pages >= OPEN_PAGES


async def test_nothing_is_changed_without_the_token_of_the_session_or_from_another_site(site):
    owner, stranger = site.known(OWNER), site.browser()
    token = csrf(await owner.get("/account"))
    before = site.directory.state
    for method, path in routes(site, changes=True):
        place = filled(path)
        if path not in OPEN_CHANGES:
            for shown in ({}, {"x-csrf-token": "0" * 32}, {"x-csrf-token": ""}):
                answer = await owner.request(method, place, headers={"accept": "*/*", **shown})
                assert answer.status_code == 403, (method, path, shown, answer.text)
            assert (await stranger.request(method, place, headers={"accept": "*/*"})).status_code == 401, (method, path)
        if path not in OPEN_CHANGES or path in BY_PAGES:
            for other in ({"origin": "https://evil.test"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
                headers = {"accept": "*/*", "x-csrf-token": token, **other}
                assert (await owner.request(method, place, headers=headers)).status_code == 403, (method, path, other)
    assert site.directory.state == before


async def test_nothing_is_shown_to_strangers(site):
    stranger = site.browser()
    for method, path in routes(site, changes=False):
        answer = await stranger.request(method, filled(path), headers={"accept": "*/*"})
        if path not in OPEN_PAGES:
            assert answer.status_code == 401, (method, path)
        elif "{pass}" in path:
            assert answer.status_code == 404, (method, path)


async def test_the_administration_is_for_who_has_a_role(site):
    ann, auditor = site.known(ANN), site.known(AUDITOR)
    paths = [path for method, path in routes(site, changes=False) if method == "GET" and path.startswith("/admin")]
    for path in set(paths) - OPEN_PAGES:
        assert (await ann.get(filled(path))).status_code == 403, path
        if path != "/admin" and not path.startswith(OF_AUDITORS):
            assert (await auditor.get(filled(path))).status_code == 403, path


async def test_the_api_is_for_programs_with_a_token(site):
    (below,) = [route for route in site.app.routes if isinstance(route, Mount)]
    paths = [route.path for route in below.routes if isinstance(route, Route) and route.path != "/openapi.json"]
    assert len(paths) > 50
    owner = site.known(OWNER)
    for path in paths:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = await owner.request(method, f"{below.path}{filled(path)}")
            assert answer.status_code in (401, 405), (method, path)
