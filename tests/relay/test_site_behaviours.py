"""What other servers do to us, each with its class, its retry decision and its outcome.

Nothing is lost, and nothing comes twice but where a 250 was on its way.

All cases share one server and one simulator, and go through them side by side.
"""

import contextlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.relay.behaviour import ORIGIN, USUAL
from tests.relay.simulator import Simulator, simulated
from tests.relay.tally import Seen
from tests.support.server import Event, Postroad, letter, merged, until

TIMEOUT = "10s"
"""Far longer than anything takes that is to be in time, on a busy machine too."""

WITHOUT_CHUNKING = [offer for offer in USUAL if offer != "CHUNKING"]


@dataclass(frozen=True)
class Case:
    """A behaviour, and what comes of mail for such a site."""

    behaviour: Mapping[str, Any]
    code: str = ""  # of the first deferral, or of what is returned, as a pattern; empty: there is no deferral
    returned: bool = False  # to the sender, with that code
    waits: bool = False  # in the queue, and is tried again later than this test waits
    backup: bool = False  # the second host of the domain takes it
    most: int = 1  # times that a message may arrive
    messages: int = 1
    encrypted: bool | None = None


CASES: dict[str, Case] = {}


def fault(step: str, what: str, code: str, **more: Any) -> None:
    """Once, at this step; then all is well."""
    extensions = WITHOUT_CHUNKING if step == "DATA" or len(CASES) % 2 else USUAL
    name = f"{what[1:] if what[0] == '!' else what} at {'the end' if step == '.' else step}"
    CASES[name] = Case({"steps": {step: [what, "ok"]}, "extensions": extensions}, code, **more)


for _step in ("MAIL", "RCPT", "DATA", "."):
    for _what in ("drop", "reset", "silence", "half"):
        fault(_step, f"!{_what}", "4.4.2")
    for _what in ("flood", "line", "nonsense", "overlong", "mixed"):
        fault(_step, f"!{_what}", "4.5.0")
    for _what in ("long", "bare"):
        fault(_step, f"!{_what}", "")
    fault(_step, "421 4.3.2 Going down", "4.3.2")
    fault(_step, "451 4.3.0 Try later", "4.3.0")
    fault(_step, "452", "4.0.0")
    fault(_step, "554 5.7.1 No", "5.7.1", returned=True)
fault("CONTENT", "!drop", "4.4.2")
fault("CONTENT", "!reset", "4.4.2")
fault("CONTENT", "!silence", "4.4.2")
fault("CONTENT", "!nonsense", "4.5.0")
fault(".", "!taken", "4.4.2", most=2)
fault(".", "!twice", "")
fault("QUIT", "!drop", "")
fault("QUIT", "!silence", "")
fault("EHLO", "502 5.5.1 What?", "")

for _what, _code in (
    ("!drop", "4.4.2"),
    ("!reset", "4.4.[12]"),  # it may come before we know that we are connected
    ("!silence", "4.4.2"),
    ("!half", "4.4.2"),
    ("!flood", "4.5.0"),
    ("!line", "4.5.0"),
    ("!nonsense", "4.5.0"),
    ("!overlong", "4.5.0"),
    ("!mixed", "4.5.0"),
    ("421 4.7.0 Busy", "4.7.0"),
    ("554 5.7.1 Not with you", "4.7.1"),
):
    for _step in ("CONNECT", "EHLO"):
        if not (_step == "EHLO" and _what.startswith("554")):
            _name = f"{_what.lstrip('!')} at {_step}, always"
            CASES[_name] = Case({"steps": {_step: _what}}, _code, waits=True)
            CASES[f"{_name}, beside a backup"] = Case({"steps": {_step: _what}, "mx": ["own", "backup"]}, backup=True)

CASES |= {
    "a slow banner": Case({"delays": {"CONNECT": 1.0}}),
    "a banner that comes too late": Case({"delays": {"CONNECT": 60.0}}, "4.4.2", waits=True),
    "slow replies": Case({"delays": {"*": 0.3}}, messages=3),
    "an octet a second": Case({"trickle": 1.0}, "4.4.2", waits=True),
    "octets one by one": Case({"trickle": 300.0}),
    "greylisting": Case({"greylist": 2.0}, "4.7.1"),
    "connections are few": Case({"connections": 1, "delays": {".": 0.1}}, messages=12),
    "a 421 above a rate": Case({"messages": ["4/2s"]}, "4.7.28", messages=10),
    "a 450 above a rate": Case({"messages": ["4/2s"], "over": "450 4.7.1 Slower"}, "4.7.1", messages=10),
    "a 421 after some messages": Case({"per_connection": 3}, messages=10),
    "an end after some messages": Case({"per_connection": 3, "parting": ""}, messages=10),
    "limits that fall": Case(
        {"connections": 10, "delays": {".": 0.2}, "later": [{"after": 3, "connections": 2}]}, messages=12
    ),
    # TLS is taken where it is offered, and what goes wrong with it is no reason to keep mail (RFC 7435).
    "TLS": Case({"tls": "good"}, encrypted=True),
    "TLS for another name": Case({"tls": "wrong-name"}, encrypted=True),
    "TLS that fails": Case({"tls": "alert"}, encrypted=False),
    "TLS that is none": Case({"tls": "garbage", "delays": {"STARTTLS": 0.2}}, encrypted=False),
    # But what comes along with the 220 was put there by somebody (RFC 3207 4.2).
    "TLS with something before it": Case({"tls": "garbage"}, "4.5.0", waits=True),
    "TLS that is dropped": Case({"tls": "drop"}, encrypted=False),
    "TLS that was stripped": Case({"tls": "stripped"}, encrypted=False),
    "TLS that is refused": Case({"tls": "refused"}, encrypted=False),
    # MX records that lie.
    "a null MX": Case({"mx": ["none"]}, "5.1.10", returned=True),
    "an MX without an address": Case({"mx": ["nowhere"]}, "5.4.4", returned=True),
    "an MX that refuses": Case({"mx": ["refused"]}, "4.4.1", waits=True),
    "an MX that is this machine": Case({"mx": ["loopback"]}, "5.4.4", returned=True),
    "an MX that is somebody else's": Case({"mx": ["healthy"]}, "5.7.1", returned=True),
    "a good MX behind a lie": Case({"mx": ["nowhere", "loopback", "refused", "own"]}),
    "an MX of many domains": Case({"mx": ["shared"], "sites": 5}, messages=3),
}  # fmt: skip

NAMES = {name: f"c{number}" for number, name in enumerate(CASES)}


@dataclass(frozen=True)
class Found:
    """What came of a case."""

    sent: list[str]
    hosts: Mapping[str, Seen]
    deferred: list[Event]
    failed: list[Event]
    delivered: list[Event]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Found]]:
    folder = tmp_path_factory.mktemp("remote-behaviours")
    tables = [{"name": NAMES[name], **case.behaviour} for name, case in CASES.items()]
    times = dict.fromkeys(("greeting_timeout", "command_timeout", "data_timeout", "final_timeout"), TIMEOUT)
    with simulated(folder, {"name": "healthy"}, *tables) as sites:
        workers = {"server": {"workers": 1}, "stage": {"relay": {"workers": 1}}}
        with Postroad(folder, merged(sites.settings(retry=["1s"], **times), workers)) as server:
            sent = {name: _send(server, NAMES[name], case.messages) for name, case in CASES.items()}
            # A case that does not settle fails by itself, below.
            with contextlib.suppress(AssertionError):
                until(lambda: all(_settled(server, case, sent[name]) for name, case in CASES.items()), "all cases")
            assert server.all("worker-died") == server.all("bug") == []
            waiting = sum(case.messages for case in CASES.values() if case.waits)
            until(lambda: server.queued() == waiting, f"{waiting} that wait")
            yield {name: _found(server, sites, name, sent[name]) for name in CASES}


def _send(server: Postroad, name: str, messages: int) -> list[str]:
    """One message for each recipient."""
    recipients = [f"m{number}@{name}-0.{ORIGIN}" for number in range(messages)]
    with server.smtp() as client:
        for recipient in recipients:
            client.sendmail("", [recipient], letter(f"for {recipient}"))
    return recipients


def _settled(server: Postroad, case: Case, recipients: list[str]) -> bool:
    event = "failed" if case.returned else "deferred" if case.waits else "delivered"
    return {*recipients} <= {each["to"] for each in server.all(event)}


def _found(server: Postroad, sites: Simulator, name: str, sent: list[str]) -> Found:
    case = CASES[name]
    hosts = sites.report(NAMES[name]) if {*case.behaviour.get("mx", ["own"])} & {"own", "shared"} else {}
    if case.backup:
        hosts |= sites.report(f"{NAMES[name]}-backup")
    events = [
        [event for to in sent for event in server.all(kind, to=to)] for kind in ("deferred", "failed", "delivered")
    ]
    return Found(sent, hosts, *events)


def one_worker(sites: Simulator) -> dict[str, Any]:
    return merged(sites.settings(retry=["1s"]), {"server": {"workers": 1}})


def test_the_recipients_of_one_message_each_have_their_own_outcome(tmp_path: Path) -> None:
    """One is taken, one put off, one refused, one is one too many: each once, and at its own time."""
    steps = {
        "RCPT full": ["452 4.2.2 Full", "ok"], "RCPT none": "550 5.1.1 No such user",
        "RCPT grey": ["451 4.7.1 Greylisted", "ok"], "RCPT last": ["452 4.5.3 Too many recipients", "ok"],
    }  # fmt: skip
    to = {name: f"{name}@mixed-0.{ORIGIN}" for name in ("good", "full", "none", "grey", "last")}
    mixed = {"name": "mixed", "steps": steps}
    with simulated(tmp_path / "sites", mixed) as sites, Postroad(tmp_path, one_worker(sites)) as server:
        server.send(letter("to five"), *to.values(), sender="")
        until(lambda: len(server.all("delivered")) == 4, "four that are delivered")
        assert server.wait_for("failed", to=to["none"])["code"] == "5.1.1"
        assert {each["to"] for each in server.all("deferred")} == {to["full"], to["grey"]}
        seen = sites.seen("mixed")
    assert seen.arrived == Counter([to[name] for name in ("good", "full", "grey", "last")])
    assert sorted(seen.deferred.values()) == [3]  # with the one that was not put off


@pytest.mark.parametrize("name", CASES)
def test_a_server_with(found: Mapping[str, Found], name: str) -> None:
    case, one = CASES[name], found[name]
    arrived = sum((seen.arrived for seen in one.hosts.values()), Counter[str]())
    if case.waits or case.returned:
        assert not arrived
        assert not one.delivered
        assert {event["to"] for event in (one.failed if case.returned else one.deferred)} == {*one.sent}
    else:
        assert sorted(event["to"] for event in one.delivered) == sorted(one.sent)
        assert arrived.keys() == {*one.sent}
        assert set(arrived.values()) <= {*range(1, case.most + 1)}
    if case.backup:
        assert one.hosts[f"{NAMES[name]}-backup"].arrived == arrived
    first = (one.failed if case.returned else one.deferred)[:1]
    # Of several messages one may meet the end of a connection twice, and is put off then.
    assert bool(first) == bool(case.code) or (case.messages > 1 and not case.code)
    assert all(re.fullmatch(case.code or "4.*", event["code"]) for event in first)
    assert bool(one.failed) == case.returned
    if case.encrypted is not None:
        (seen,) = one.hosts.values()
        assert bool(seen.encrypted) == case.encrypted
