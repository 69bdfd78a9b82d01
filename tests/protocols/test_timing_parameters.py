"""MT-PRIORITY, FUTURERELEASE and DELIVERBY as parameters of MAIL: read by a server, written by a client."""

import pytest

from engine.protocols.smtp_parameters import parse_mail
from engine.protocols.smtp_transaction import To, Transaction, mail_command, objection
from engine.protocols.timing import NOTHING, UNTIMED, Offers, Timing, lacks_time, lines, read, written

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
ALL = Offers(priority=True, hold=86_400, deliver_by=True)


def test_what_is_offered() -> None:
    assert lines(ALL, NOW) == ["MT-PRIORITY", "FUTURERELEASE 86400 2027-01-16T08:00:00Z", "DELIVERBY"]
    assert lines(NOTHING, NOW) == []


@pytest.mark.parametrize(
    ("parameters", "timing"),
    [
        ("", UNTIMED),
        ("MT-PRIORITY=0", UNTIMED),
        ("MT-PRIORITY=9", Timing(9)),
        ("mt-priority=-9", Timing(-9)),
        ("HOLDFOR=86400", Timing(release=NOW + 86_400)),
        ("HOLDUNTIL=2027-01-15T09:00:00Z", Timing(release=NOW + 3600)),
        ("HOLDUNTIL=2027-01-15T10:00:00.5+01:00", Timing(release=NOW + 3600.5)),
        ("HOLDUNTIL=2020-01-01T00:00:00Z", UNTIMED),
        ("BY=120;R", Timing(by=NOW + 120, by_mode="R")),
        ("BY=+120;rt", Timing(by=NOW + 120, by_mode="RT")),
        ("BY=-5;N", Timing(by=NOW - 5, by_mode="N")),
        ("BY=0;NT", Timing(by=NOW, by_mode="NT")),
        ("HOLDFOR=60 BY=61;R MT-PRIORITY=1", Timing(1, NOW + 60, NOW + 61, "R")),
    ],
)
def test_what_a_client_may_ask(parameters: str, timing: Timing) -> None:
    event = parse_mail(f"FROM:<a@example.org> {parameters}", ALL, NOW)
    assert not isinstance(event, bytes)
    assert event.timing == timing


@pytest.mark.parametrize(
    "parameters",
    [
        "MT-PRIORITY=10",
        "MT-PRIORITY=-0",
        "MT-PRIORITY=+1",
        "MT-PRIORITY",
        "HOLDFOR=0",
        "HOLDFOR=-1",
        "HOLDFOR=86401",
        "HOLDFOR=9999999999",
        "HOLDUNTIL=2027-01-16T08:00:01Z",
        "HOLDUNTIL=2027-02-30T08:00:00Z",
        "HOLDUNTIL=2027-01-15",
        "HOLDUNTIL=9999-12-31T23:59:60Z",
        "HOLDFOR=60 HOLDUNTIL=2027-01-15T09:00:00Z",
        "BY=0;R",
        "BY=-1;R",
        "BY=60;X",
        "BY=60",
        "BY=1234567890;N",
        "HOLDFOR=60 BY=60;R",
    ],
)
def test_what_it_may_not(parameters: str) -> None:
    refusal = parse_mail(f"FROM:<a@example.org> {parameters}", ALL, NOW)
    assert isinstance(refusal, bytes)
    assert refusal.startswith(b"501 5.5.4 ")


@pytest.mark.parametrize("parameter", ["MT-PRIORITY=1", "HOLDFOR=60", "HOLDUNTIL=2027-01-15T09:00:00Z", "BY=60;N"])
def test_what_is_not_offered_is_unknown(parameter: str) -> None:
    for offers in (NOTHING, Offers()):
        refusal = parse_mail(f"FROM:<a@example.org> {parameter}", offers, NOW)
        assert isinstance(refusal, bytes)
        assert refusal.startswith(b"555 5.5.4 ")


def test_without_parameters_nothing_is_asked() -> None:
    assert read({}, ALL, NOW) == UNTIMED


def command(timing: Timing, now: float = NOW, **offers: str) -> bytes:
    extensions = {name.replace("_", "-"): value for name, value in offers.items()}
    return mail_command(Transaction("a@example.org", (To("b@example.org"),), 5, timing=timing), extensions, now)


@pytest.mark.parametrize(
    ("timing", "offers", "line"),
    [
        (UNTIMED, {"MT_PRIORITY": "", "DELIVERBY": ""}, b"MAIL FROM:<a@example.org>"),
        (Timing(-3), {"MT_PRIORITY": ""}, b"MAIL FROM:<a@example.org> MT-PRIORITY=-3"),
        (Timing(3), {}, b"MAIL FROM:<a@example.org>"),
        (Timing(by=NOW + 90.7, by_mode="RT"), {"DELIVERBY": ""}, b"MAIL FROM:<a@example.org> BY=90;RT"),
        (Timing(by=NOW - 30, by_mode="N"), {"DELIVERBY": "120"}, b"MAIL FROM:<a@example.org> BY=-30;N"),
        (Timing(by=NOW + 9e12, by_mode="N"), {"DELIVERBY": ""}, b"MAIL FROM:<a@example.org> BY=999999999;N"),
        (Timing(release=NOW - 5), {"FUTURERELEASE": "60 x"}, b"MAIL FROM:<a@example.org>"),
    ],
)
def test_what_is_passed_on(timing: Timing, offers: dict[str, str], line: bytes) -> None:
    assert command(timing, **offers) == line + b"\r\n"


@pytest.mark.parametrize(
    ("timing", "offers", "status"),
    [
        (Timing(by=NOW + 60, by_mode="R"), {}, "5.3.3"),
        (Timing(by=NOW + 60, by_mode="R"), {"DELIVERBY": "61"}, "5.4.7"),
        (Timing(by=NOW, by_mode="R"), {"DELIVERBY": ""}, "5.4.7"),
        (Timing(by=NOW + 60, by_mode="R"), {"DELIVERBY": "60"}, ""),
        (Timing(by=NOW + 60, by_mode="R"), {"DELIVERBY": "60,FUTURE=1"}, ""),
        (Timing(by=NOW + 60, by_mode="R"), {"DELIVERBY": "soon"}, ""),
        (Timing(by=NOW - 60, by_mode="N"), {}, ""),
    ],
)
def test_what_must_not_be_late_goes_only_where_that_is_known(
    timing: Timing, offers: dict[str, str], status: str
) -> None:
    transaction = Transaction("a@example.org", (To("b@example.org"),), 5, timing=timing)
    refusal = objection(transaction, offers, chunking=False, now=NOW)
    assert (refusal.enhanced if refusal else "") == status
    assert objection(transaction, offers, chunking=False, is_final=True, now=NOW) is None


def test_nothing_is_written_for_a_server_that_offers_nothing() -> None:
    assert written(Timing(9, NOW, NOW, "N"), {}, NOW) == []


@pytest.mark.parametrize(
    ("offers", "known"),
    [
        (Offers(priority=True), {"MT-PRIORITY=1"}),
        (Offers(hold=60), {"HOLDFOR=60", "holduntil=2027-01-15t08:01:00z"}),
        (Offers(deliver_by=True), {"BY=60;N"}),
    ],
)
def test_each_is_known_where_it_is_offered_alone(offers: Offers, known: set[str]) -> None:
    for parameter in ("MT-PRIORITY=1", "HOLDFOR=60", "holduntil=2027-01-15t08:01:00z", "BY=60;N"):
        event = parse_mail(f"FROM:<a@example.org> {parameter}", offers, NOW)
        assert isinstance(event, bytes) == (parameter not in known), parameter


def test_what_is_held_still_is_passed_on_as_the_seconds_that_are_left() -> None:
    held = Timing(release=NOW + 90)
    assert command(held, FUTURERELEASE="86400 2027-01-16T08:00:00Z") == b"MAIL FROM:<a@example.org> HOLDFOR=90\r\n"
    assert command(held, NOW + 30, FUTURERELEASE="86400 x") == b"MAIL FROM:<a@example.org> HOLDFOR=60\r\n"
    assert command(held, NOW + 90, FUTURERELEASE="86400 x") == b"MAIL FROM:<a@example.org>\r\n"
    assert command(held, SIZE="1000") == b"MAIL FROM:<a@example.org> SIZE=5\r\n"


@pytest.mark.parametrize(
    ("mode", "returns", "traced"), [("R", True, False), ("RT", True, True), ("N", False, False), ("NT", False, True)]
)
def test_what_becomes_of_what_is_late(mode: str, returns: bool, traced: bool) -> None:
    late = Timing(by=NOW, by_mode=mode)
    assert (late.returns, late.traced) == (returns, traced)
    refused = parse_mail(f"FROM:<a@example.org> BY=0;{mode}", ALL, NOW)
    assert isinstance(refused, bytes) == returns


def test_less_time_than_the_next_server_wants_is_none() -> None:
    for left, wants, can in ((60, "60", True), (59, "60", False), (1, "", True), (0, "", False), (60, "60, x", True)):
        found = lacks_time(Timing(by=NOW + left, by_mode="RT"), {"DELIVERBY": wants}, NOW)
        assert (found == "") == can, (left, wants)


def test_a_part_of_a_second_is_held_whole() -> None:
    """Rather late than early."""
    assert written(Timing(release=NOW + 30.2), {"FUTURERELEASE": "86400"}, NOW) == [b"HOLDFOR=31"]
