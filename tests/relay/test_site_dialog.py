"""What a virtual site answers, and what it notes, octet by octet and by a clock of the test's own."""

import pytest

from tests.relay.behaviour import ORIGIN, Table
from tests.relay.dialog import Dialog, Site, Turn
from tests.relay.tally import Seen, middle, most_within

SAID = (
    f"EHLO us\r\nMAIL FROM:<a@source.test>\r\nRCPT TO:<1@one-0.{ORIGIN}>\r\nRCPT TO:<full2@one-0.{ORIGIN}>\r\nDATA\r\n"
    "Subject: one\r\n\r\n..\r\n.x\r\n.\r\n"
    f"mail from:<>\r\nrcpt to:<3@ONE-0.{ORIGIN}>\r\ndata\r\n.\r\n"
    f"MAIL FROM:<>\r\nRCPT TO:<4@one-0.{ORIGIN}>\r\nBDAT 5\r\nMAIL\nBDAT 3 LAST\r\n.\r\nQUIT\r\n"
).encode()

CODES = ["220", "250", "250", "250", "250", "354", "250", "250", "250", "354", "250", *4 * ["250"], "221"]

ONE = f"MAIL FROM:<a@source.test>\r\nRCPT TO:<1@one-0.{ORIGIN}>\r\nDATA\r\nx\r\n.\r\n".encode()


def site(**behaviour: object) -> Site:
    (place,) = [place for place in Table.of({"name": "one", **behaviour}).places() if place.name == "one-0"]
    return Site(place, 0.0)


def heard(dialog: Dialog) -> str:
    """All that was said since, whenever it is due; what is done in angle brackets."""
    found = [f"<{what.name}>" if isinstance(what, Turn) else what.decode() for _, what in dialog.out]
    dialog.out.clear()
    return "".join(found)


def codes(said: str) -> list[str]:
    """Codes of replies, and what is done."""
    return [line[:3] if line[0] != "<" else line for line in said.splitlines() if line[3:4] != "-"]


def said(dialog: Dialog, octets: bytes, now: float = 1.0) -> list[str]:
    dialog.receive(octets, now)
    return codes(heard(dialog))


@pytest.mark.parametrize("size", [1, 7, len(SAID)])
def test_a_site_takes_what_comes_in_any_pieces(size: int) -> None:
    host = site()
    dialog = Dialog(host, "127.0.0.1", 1.0)
    for start in range(0, len(SAID), size):
        dialog.receive(SAID[start : start + size], 2.0)
    assert codes(heard(dialog)) == [*CODES, "<CLOSE>"]
    assert [recipient.partition("@")[0] for _, recipient in host.tally.taken] == ["1", "full2", "3", "4"]
    assert (len(host.tally.asked), len(host.tally.recipients), len(host.tally.spans)) == (3, 4, 6)
    dialog.lost()
    assert (host.tally.open, host.tally.most_messages) == (0, 3)


def test_answers_are_given_in_turn_and_for_recipients_of_a_kind() -> None:
    host = site(steps={"MAIL": ["451 4.3.0 Later", "ok"], "RCPT full": "452 4.2.2 Full", "RCPT": "550 5.1.1 Who?"})
    dialog = Dialog(host, "127.0.0.1", 1.0)
    assert said(dialog, b"MAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<a@b>\r\n") == ["220", "451", "250", "250"]
    recipients = f"RCPT TO:<full@one-0.{ORIGIN}>\r\nRCPT TO:<b@one-0.{ORIGIN}>\r\nRCPT TO:<b@elsewhere.test>\r\n"
    assert said(dialog, recipients.encode()) == ["452", "550", "550"]
    assert host.tally.deferred == {"MAIL": 1, "RCPT": 1}
    assert host.tally.rejected == {"RCPT": 2}


def test_answers_may_begin_anew() -> None:
    dialog = Dialog(site(steps={"MAIL": ["451 4.3.0 Later", "ok"]}, again=True), "127.0.0.1", 1.0)
    assert said(dialog, 4 * b"MAIL FROM:<a@b>\r\n") == ["220", "451", "250", "451", "250"]


@pytest.mark.parametrize(
    ("fault", "heard_of_it", "taken"),
    [
        ("drop", ["<CLOSE>"], 0),
        ("reset", ["<RESET>"], 0),
        ("taken", ["<CLOSE>"], 1),
        ("silence", [], 0),
        ("flood", ["<FLOOD>"], 0),
        ("line", ["<LINE>"], 0),
        ("twice", ["250", "250"], 1),
        ("long", ["250"], 1),
        ("half", ["250", "<CLOSE>"], 0),
        ("mixed", ["550"], 0),
        ("overlong", ["250"], 0),
    ],
)
def test_a_fault_behind_the_content(fault: str, heard_of_it: list[str], taken: int) -> None:
    host = site(steps={".": f"!{fault}"})
    dialog = Dialog(host, "127.0.0.1", 1.0)
    answers = heard_in_lines(dialog, ONE)
    assert answers[:4] == ["220", "250", "250", "354"]
    assert answers[4:] == heard_of_it
    assert len(host.tally.taken) == taken
    assert host.tally.faults == {f". {fault}": 1}


def heard_in_lines(dialog: Dialog, octets: bytes) -> list[str]:
    dialog.receive(octets, 1.0)
    return codes(heard(dialog).replace("<", "\n<").replace("\n\n", "\n"))


def test_a_fault_in_the_content_comes_with_its_first_octets() -> None:
    dialog = Dialog(site(steps={"CONTENT": ["!drop", "ok"]}), "127.0.0.1", 1.0)
    assert said(dialog, ONE[: ONE.index(b"x\r\n")]) == ["220", "250", "250", "354"]
    assert said(dialog, b"a long line") == ["<CLOSE>"]
    assert said(dialog, b"\r\n.\r\n") == []


def test_what_is_above_a_rate_is_put_off() -> None:
    host = site(messages=["2/10s"], over="450 4.7.1 Slower")
    dialog = Dialog(host, "127.0.0.1", 1.0)
    assert said(dialog, ONE + ONE + ONE)[-6:] == ["250", "450", "503", "554", "500", "500"]
    assert said(dialog, ONE, 10.9)[0] == "450"
    assert said(dialog, ONE, 11.1)[0] == "250"
    assert host.tally.deferred["MAIL"] == 2


def test_more_connections_than_allowed_are_turned_away() -> None:
    host = site(connections=1)
    first, second = Dialog(host, "127.0.0.1", 1.0), Dialog(host, "127.0.0.1", 1.0)
    assert codes(heard(first)) == ["220"]
    assert codes(heard(second)) == ["421", "<CLOSE>"]
    first.lost()
    second.lost()
    assert codes(heard(Dialog(host, "127.0.0.1", 2.0))) == ["220"]
    assert (host.tally.refused, host.tally.most_open) == (1, 2)


@pytest.mark.parametrize(("parting", "after"), [("421 4.7.0 Enough", ["421", "<CLOSE>"]), ("", [])])
def test_a_connection_ends_after_so_many_messages(parting: str, after: list[str]) -> None:
    dialog = Dialog(site(per_connection=1, parting=parting), "127.0.0.1", 1.0)
    assert said(dialog, ONE) == ["220", "250", "250", "354", "250"] + ([] if parting else ["<CLOSE>"])
    assert said(dialog, b"MAIL FROM:<a@b>\r\n") == after


def test_a_triplet_is_put_off_until_it_is_old_enough() -> None:
    dialog = Dialog(site(greylist=30), "127.0.0.1", 1.0)
    once = ONE[: ONE.index(b"DATA")]
    assert said(dialog, once, 1.0) == ["220", "250", "451"]
    assert said(dialog, once, 30.0) == ["250", "451"]
    assert said(dialog, once, 31.5) == ["250", "250"]


def test_behaviour_changes_with_time() -> None:
    host = site(later=[{"after": 10, "connections": 1}, {"after": 20, "messages": ["1/1s"]}])
    first = Dialog(host, "127.0.0.1", 9.0)
    assert host.now.connections == 0
    second = Dialog(host, "127.0.0.1", 12.0)
    assert codes(heard(second)) == ["421", "<CLOSE>"]
    assert said(first, ONE, 21.0)[-1] == "250"
    assert said(first, ONE, 21.5)[0] == "421"


def test_delays_add_up_and_slow_replies_come_octet_by_octet() -> None:
    dialog = Dialog(site(delays={"CONNECT": 5.0, "*": 1.0}, trickle=2.0), "127.0.0.1", 1.0)
    moments = [moment for moment, _ in dialog.out]
    assert moments[0] == 6.5
    assert moments[-1] == 6.0 + len(heard(dialog)) / 2
    dialog.receive(b"NOOP\r\n", 2.0)
    assert dialog.out[0][0] == moments[-1] + 1.5


def test_after_starttls_nothing_that_came_before_counts() -> None:
    host = site(tls="good")
    dialog = Dialog(host, "127.0.0.1", 1.0)
    assert "STARTTLS" in (dialog.receive(b"EHLO us\r\n", 1.0) or heard(dialog))
    assert said(dialog, b"STARTTLS\r\nMAIL FROM:<injected@b>\r\n") == ["220", "<TLS>"]
    dialog.secured()
    assert said(dialog, b"RCPT TO:<x@y>\r\n") == ["503"]
    assert "STARTTLS" not in (dialog.receive(b"EHLO us\r\n", 1.0) or heard(dialog))
    assert host.tally.encrypted == 1


@pytest.mark.parametrize(
    ("behaviour", "complaint"),
    [
        ({"steps": {"HELP": "214 No"}}, "is no step"),
        ({"steps": {"MAIL": "!burn"}}, "is no fault"),
        ({"messages": ["many"]}, "is no rate"),
        ({"mx": ["elsewhere"]}, "no mx is called elsewhere"),
        ({"greylisting": 3}, "greylisting"),
    ],
)
def test_a_table_that_cannot_be_followed_is_refused(behaviour: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Table.of({"name": "one", **behaviour})


def test_hosts_have_addresses_that_do_not_change() -> None:
    one, many = {"name": "one", "mx": ["nowhere", "own", "backup"]}, {"name": "many", "sites": 300, "mx": ["shared"]}
    places = {place.name: place for place in Table.of(one, many).places()}
    assert {name: place.address for name, place in places.items()} == {
        "one-0": "127.64.0.1", "one-backup": "127.64.0.2", "many": "127.64.0.3",
    }  # fmt: skip
    assert len(places["many"].domains) == 300


# -- what is judged


@pytest.mark.parametrize(
    ("moments", "seconds", "most"), [([], 1.0, 0), ([0.0, 0.5, 0.999, 1.0, 1.4], 1.0, 4), ([3.0, 1.0, 2.0], 1.0, 1)]
)
def test_the_most_in_any_window(moments: list[float], seconds: float, most: int) -> None:
    assert most_within(moments, seconds) == most


def test_slots_that_were_used() -> None:
    seen = Seen(spans=(0.0, 10.0, 5.0, 15.0))
    assert seen.used(2, 0.0, 10.0) == 0.75
    assert seen.used(1, 20.0, 21.0) == 0.0


def test_the_middle_leaves_out_what_is_at_both_ends() -> None:
    assert middle([*range(10)]) == (2, 7)
