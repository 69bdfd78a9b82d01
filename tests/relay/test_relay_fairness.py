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
