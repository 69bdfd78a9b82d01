"""Requests for a link: who is taken off, and who is not (RFC 8058)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.unsubscribe import Clicks, Link, Request
from engine.unsubscribe.links import sign
from engine.unsubscribe.one_click import BODY_LIMIT, is_one_click

SECRETS = (b"secret",)
LINK = Link("ann@example.org", "news.example.org", 1_796_000_000)
TOKEN = sign(LINK, SECRETS)
FORM = "application/x-www-form-urlencoded"
BODY = b"List-Unsubscribe=One-Click"
MULTIPART = (
    b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n',
    "multipart/form-data; boundary=b",
)


@pytest.fixture
def gone() -> list[Link]:
    return []


@pytest.fixture
def clicks(gone: list[Link]) -> Clicks:
    async def remove(link: Link) -> None:
        gone.append(link)

    return Clicks(SECRETS, 86_400.0, remove, lambda: LINK.made + 60.0)


@pytest.mark.parametrize(("body", "kind"), [(BODY, FORM), (b"a=b&" + BODY, FORM), MULTIPART, (BODY, "")])
async def test_one_click_takes_the_address_off(clicks: Clicks, gone: list[Link], body: bytes, kind: str) -> None:
    answer = await clicks.answer(Request("POST", f"/{TOKEN}", kind, body))
    assert answer.code == 200  # and no redirect: RFC 8058 3.2
    assert (answer.what, answer.link) == ("gone", LINK)
    assert gone == [LINK]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_only_looks_takes_nobody_off(clicks: Clicks, gone: list[Link], method: str) -> None:
    answer = await clicks.answer(Request(method, f"/{TOKEN}", FORM, BODY))
    assert (answer.code, answer.what, answer.link, gone) == (200, "ask", LINK, [])


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (Request("POST", f"/{TOKEN}", FORM, b""), 400),
        (Request("POST", f"/{TOKEN}", FORM, b"List-Unsubscribe=Later"), 400),
        (Request("POST", f"/{TOKEN}", FORM, BODY + b"&" * BODY_LIMIT), 400),
        (Request("POST", f"/{TOKEN[:-1]}", FORM, BODY), 404),
        (Request("POST", "/", FORM, BODY), 404),
        (Request("POST", f"/x/{TOKEN}", FORM, BODY), 404),
        (Request("DELETE", f"/{TOKEN}"), 405),
        (Request("POST", "/" + sign(Link("a@b", "", LINK.made - 100_000), SECRETS), FORM, BODY), 410),
    ],
)
async def test_what_takes_nobody_off(clicks: Clicks, gone: list[Link], request_: Request, code: int) -> None:
    assert (await clicks.answer(request_)).code == code
    assert gone == []


async def test_an_error_of_the_list_is_not_hidden() -> None:
    async def remove(_: Link) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        await Clicks(SECRETS, 1e12, remove).answer(Request("POST", TOKEN, FORM, BODY))


@given(st.binary(max_size=300), st.sampled_from([FORM, MULTIPART[1], ""]))
def test_any_body_can_be_looked_at(body: bytes, kind: str) -> None:
    is_one_click(Request("POST", TOKEN, kind, body))
    assert is_one_click(Request("POST", TOKEN, FORM, BODY))
