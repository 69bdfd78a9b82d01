"""Sites that are slow, silent, dead or full hold no mail for others up, however much of it waits for them."""

from pathlib import Path

import pytest

from tests.relay.behaviour import ORIGIN
from tests.relay.sending import send, to
from tests.relay.simulator import simulated
from tests.support.server import Postroad, merged, until

MANY = 400
"""Messages for the bad site: far more than there are places for what is under way."""

HEALTHY = 30

PATIENCE = 300.0

SITES = 2000
"""One of which gets half of all mail, as `bench fairness` has 10,000, and a hundredth are bad."""

BAD = {
    "slow": {"delays": {"*": 0.5, ".": 2.0}},
    "silent": {"steps": {"CONNECT": "!silence"}},
    "endless": {"trickle": 1.0},
    "dead": {"mx": ["refused"]},
    "full": {"steps": {"RCPT": "452 4.2.2 Full"}},
    "busy": {"steps": {"CONNECT": "421 4.3.2 Busy"}},
    "narrow": {"connections": 1, "delays": {".": 1.0}},
    "closing": {"steps": {".": "421 4.3.2 Later"}},
}


@pytest.mark.parametrize("name", BAD)
def test_others_get_their_mail_beside_a_site_that_is(name: str, tmp_path: Path) -> None:
    bad = {"name": name, **BAD[name]}
    with simulated(tmp_path / "sites", bad, {"name": "healthy", "sites": HEALTHY}) as sites:
        settings = sites.settings(retry=["5s"])
        more = {"server": {"workers": 1}, "queue": {"in_flight": 100}, "stage": {"relay": {"connections": 5}}}
        with Postroad(tmp_path, merged(settings, more)) as server:
            send(server, *to(name, MANY))
            others = [[f"m{number}@healthy-{site}.{ORIGIN}"] for number in range(5) for site in range(HEALTHY)]
            send(server, *others)
            until(lambda: len(sites.arrived("healthy")) == len(others), "mail for healthy sites")
            assert set(sites.arrived("healthy").values()) == {1}
            assert "mx" in bad or len(sites.arrived(name)) < MANY  # it was still in their way
            assert not server.all("failed")


@pytest.mark.slow
def test_thousands_of_sites_a_hundredth_of_which_are_bad(tmp_path: Path) -> None:
    """All others have theirs, the small ones too, before a single message for a silent site has come to an end."""
    bad = SITES // 200
    tables = [
        {"name": "small", "sites": SITES},
        {"name": "large"},
        {"name": "silent", "sites": bad, "steps": {"CONNECT": "!silence"}},
        {"name": "stuck", "sites": bad, "steps": {".": "!silence"}},
    ]
    with simulated(tmp_path / "sites", *tables) as sites:
        settings = sites.settings(retry=["1h"], greeting_timeout="1h", final_timeout="1h")
        with Postroad(tmp_path, merged(settings, {"server": {"workers": 2}})) as server:
            small = [[f"m{number}@small-{number}.{ORIGIN}"] for number in range(SITES)]
            large = [[f"m{number}@large-0.{ORIGIN}"] for number in range(SITES)]
            names = ["silent", "stuck"]
            wrong = [[f"m{n}@{names[n % 2]}-{n // 2 % bad}.{ORIGIN}"] for n in range(SITES)]
            # What is bad comes first, and holds what it has all the while.
            send(server, *wrong, *(one for pair in zip(small, large, strict=True) for one in pair))
            until(lambda: len(sites.arrived("small")) == SITES, "mail for small sites", PATIENCE)
            until(lambda: len(sites.arrived("large")) == SITES, "mail for the large site", PATIENCE)
            assert set(sites.arrived("small").values()) == set(sites.arrived("large").values()) == {1}
            assert not sites.arrived("silent")
            assert not sites.arrived("stuck")
            assert not [*server.all("failed"), *server.all("deferred")]
