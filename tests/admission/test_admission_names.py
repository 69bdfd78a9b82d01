"""What is said of a null MX, and what was found lately."""

import pytest
import trio
import trio.testing

from engine.admission.judged import KEPT, Lately
from engine.admission.names import of_sender
from tests.support.told_dns import ToldDns


@pytest.mark.parametrize(
    ("records", "flaws"),
    [
        ([(0, "")], ["sender_null_mx"]),
        ([(0, ""), (10, "mail.sender.test")], []),  # RFC 7505 3: there must be no other
        ([(10, "mail.sender.test"), (0, "")], []),
    ],
)
async def test_a_null_mx_stands_alone(records: list[tuple[int, str]], flaws: list[str]) -> None:
    assert list(await of_sender(ToldDns({"sender.test": {"MX": records}}), "sender.test")) == flaws


async def test_what_was_found_is_found_again_after_a_while(autojump_clock: trio.testing.MockClock) -> None:
    lately = Lately[str, int]()
    found = 0

    async def find() -> int:
        nonlocal found
        found += 1
        return found

    assert [await lately.of("one", find) for _ in range(3)] == [1, 1, 1]
    assert await lately.of("other", find) == 2
    await trio.sleep(KEPT)
    assert await lately.of("one", find) == 3
