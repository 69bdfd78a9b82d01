"""The suppression list: whom it has, for how long, for whom, and what puts them there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.config import Fill
from engine.directory import Invalid, Unavailable
from engine.suppression import Row, Suppressions
from engine.units import Duration

BOB = "bob@example.net"
TWICE = {"invalid-recipient": Fill(name="invalid-recipient", after=2, within=Duration("1h"), keep=Duration("1d"))}


class Now:
    time = 1000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def store(tmp_path: Path, now: Now) -> Iterator[Suppressions]:
    with Suppressions.open(tmp_path, now) as opened:
        yield opened


@pytest.mark.parametrize(
    ("entry", "address", "listed"),
    [
        (BOB, BOB, True),
        (BOB, "Bob@Example.NET", True),
        (BOB, "bobby@example.net", False),
        ("example.net", BOB, True),
        ("example.net", "bob@sub.example.net", False),
        ("example.net", "bob@notexample.net", False),
        ("bücher.example", "ann@xn--bcher-kva.example", True),
    ],
)
def test_who_is_on_it(store: Suppressions, entry: str, address: str, listed: bool) -> None:
    from engine.suppression import entry_of

    store.put([Row(entry_of(entry), "complaint")])
    found = store.says(address)
    assert bool(found) == listed
    if found:
        assert (found.which, found.since) == ("complaint", 1000.0)


def test_the_address_counts_before_its_domain_and_the_tenant_before_all(store: Suppressions) -> None:
    store.put([Row("example.net", "policy"), Row(BOB, "complaint"), Row("example.net", "unsubscribe", "acme")])
    assert store.says(BOB) == Row(BOB, "complaint", "", 1000.0)
    assert store.says("cat@example.net").which == "policy"  # type: ignore[union-attr]
    assert store.says(BOB, "acme").which == "unsubscribe"  # type: ignore[union-attr]
    assert store.says(BOB, "other").which == "complaint"  # type: ignore[union-attr]
    assert store.says("cat@example.org", "acme") is None
    assert store.remove("example.net", "acme")
    assert not store.remove("example.net", "acme")
    assert store.says(BOB, "acme").which == "complaint"  # type: ignore[union-attr]


def test_entries_end(store: Suppressions, now: Now) -> None:
    store.put([Row(BOB, "policy", until=2000.0), Row("example.net", "complaint", until=3000.0)])
    now.time = 2000.0
    assert store.says(BOB).which == "complaint"  # type: ignore[union-attr]
    assert [row.entry for row in store.rows()] == ["example.net"]
    store.sweep()
    now.time = 1500.0
    assert store.says(BOB).which == "complaint"  # type: ignore[union-attr]  # it was forgotten, not hidden


def test_twice_within_a_time_puts_a_recipient_onto_it(store: Suppressions, now: Now) -> None:
    assert store.heard("invalid-recipient", BOB, "", TWICE) is None
    assert store.says(BOB) is None
    now.time += 4000  # too late
    assert store.heard("invalid-recipient", BOB, "", TWICE) is None
    now.time += 3000
    added = store.heard("invalid-recipient", "BOB@example.net", "", TWICE, "550 No " + "x" * 500)
    assert added == Row(BOB, "invalid-recipient", "", now.time, now.time + 86400, ("550 No " + "x" * 500)[:200])
    assert store.says(BOB) == added
    assert store.heard("policy", BOB, "", TWICE) is None  # no such class fills it
    assert store.remove(BOB)
    assert store.heard("invalid-recipient", BOB, "", TWICE) is None  # what was said before is forgotten too


def test_classes_and_tenants_are_counted_apart(store: Suppressions) -> None:
    fills = {**TWICE, "policy": Fill(name="policy", after=2)}
    assert store.heard("invalid-recipient", BOB, "", fills) is None
    assert store.heard("policy", BOB, "", fills) is None
    assert store.heard("invalid-recipient", BOB, "acme", fills) is None
    assert store.heard("invalid-recipient", BOB, "acme", fills) is not None
    assert store.says(BOB) is None
    assert store.says(BOB, "acme") is not None


def test_complaints_are_for_ever_and_a_class_may_be_switched_off(store: Suppressions, now: Now) -> None:
    fills = {"complaint": Fill(name="complaint", keep=Duration("0s")), "unsubscribe": Fill(name="unsubscribe", after=0)}
    assert store.heard("unsubscribe", BOB, "", fills) is None
    assert store.heard("complaint", BOB, "", fills) == Row(BOB, "complaint", "", 1000.0)
    now.time = 1e11
    assert store.says(BOB) is not None


def test_counts_that_are_over_are_swept(store: Suppressions, now: Now) -> None:
    store.heard("invalid-recipient", BOB, "", TWICE)
    now.time += 4000
    store.sweep()
    now.time -= 4000
    assert store.heard("invalid-recipient", BOB, "", TWICE) is None


def test_what_is_too_long_or_no_address(store: Suppressions) -> None:
    long = f"{'a' * 600}@example.net"
    with pytest.raises(Invalid):
        store.put([Row(long, "policy")])
    for strange in (long, "postmaster", "", "@", "a@b@"):
        assert store.says(strange) is None
        assert store.heard("complaint", strange, "", {"complaint": Fill(name="complaint")}) is None or "@" in strange


def test_many_rows_are_read_bit_by_bit(store: Suppressions) -> None:
    addresses = sorted(f"{number}@example.net" for number in range(2500))
    assert store.put(Row(address, "policy") for address in addresses) == 2500
    store.put([Row("other.example", "policy", "acme")])
    assert [row.entry for row in store.rows("")] == addresses
    assert [row.entry for row in store.rows("acme")] == ["other.example"]
    assert len(list(store.rows())) == 2501


def test_processes_share_it(tmp_path: Path, store: Suppressions) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path; from engine.suppression import Row, Suppressions\n"
        f"Suppressions.open(Path(sys.argv[1])).put([Row({BOB!r}, 'policy')])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert store.says(BOB) is not None


def test_a_folder_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "suppression").write_text("a file")
    with pytest.raises(Unavailable):
        Suppressions.open(tmp_path)
