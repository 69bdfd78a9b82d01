"""Where folders of a source go: names, levels, special uses."""

import pytest

from engine.migration.folders import Choice, Namespaces, planned
from engine.protocols.imap_client.data import Listed

OURS = {"\\Sent": "Gesendet", "\\Trash": "Trash", "\\Junk": "Junk", "\\Drafts": "Drafts", "\\Archive": "Archive"}
NOBODY = Namespaces()


def listed(raw: str, attributes: str = "", separator: str = ".") -> Listed:
    return Listed(raw.encode(), separator, frozenset(attributes.split()))


@pytest.mark.parametrize(
    ("one", "namespaces", "to"),
    [
        (listed("inbox"), NOBODY, "INBOX"),
        (listed("INBOX.Sent Items", "\\sent"), Namespaces("INBOX."), "Gesendet"),
        (listed("INBOX.Work.2024"), Namespaces("INBOX."), "Work/2024"),
        (listed("INBOX.Work.2024"), NOBODY, "INBOX/Work/2024"),
        (listed("Deleted Items", separator="/"), NOBODY, "Trash"),
        (listed("Clients/ACME.Ltd", separator="/"), NOBODY, "Clients/ACME.Ltd"),
        (listed("a/b.c"), NOBODY, "a_b/c"),
        (listed("flat.name/x", separator=""), NOBODY, "flat.name_x"),
        (listed("Entw&APw-rfe"), NOBODY, "Entwürfe"),
        (listed("Bücher"), NOBODY, "Bücher"),
        (listed("broken &AO"), NOBODY, "broken &AO"),
        (listed("Public.x"), NOBODY, "Public_/x"),
        (listed("[Gmail]/All Mail", "\\all", "/"), NOBODY, "Archive"),
        (listed("a..b. c "), NOBODY, "a/b/c"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_goes_where_it_belongs(one: Listed, namespaces: Namespaces, to: str) -> None:
    plan = planned([one], namespaces, subscribed=frozenset(), ours=OURS, choice=Choice())
    assert [place.to for place in plan.places] == [to]


def test_what_is_told_counts_before_what_a_name_says() -> None:
    found = [listed("Sent"), listed("Postausgang", "\\sent")]
    plan = planned(found, NOBODY, subscribed=frozenset(), ours=OURS, choice=Choice())
    assert {place.name: place.to for place in plan.places} == {"Postausgang": "Gesendet", "Sent": "Sent"}


def test_names_that_cannot_be_are_told() -> None:
    found = [listed("x" * 500), listed("..."), listed("INBOX")]
    plan = planned(found, NOBODY, subscribed=frozenset(), ours=OURS, choice=Choice())
    assert [place.to for place in plan.places] == ["INBOX"]
    assert len(plan.notes) == 2


def test_others_folders_and_views_come_only_when_they_are_named() -> None:
    found = [
        listed("shared/boss/INBOX", separator="/"),
        listed("Starred", "\\flagged"),
        listed("Above", "\\noselect"),
        listed("INBOX"),
    ]
    namespaces = Namespaces("", ("shared/",))

    def names(choice: Choice) -> list[str]:
        plan = planned(found, namespaces, subscribed=frozenset(), ours=OURS, choice=choice)
        return [place.name for place in plan.places]

    assert names(Choice()) == ["INBOX"]
    assert names(Choice(("shared/*", "Starred"))) == ["Starred", "shared/boss/INBOX"]


def test_who_has_subscriptions_keeps_them() -> None:
    found = [listed("INBOX"), listed("a"), listed("b"), listed("Sent", "\\sent")]
    plan = planned(found, NOBODY, subscribed=frozenset({b"a"}), ours=OURS, choice=Choice())
    assert {place.name: place.subscribed for place in plan.places} == {
        "INBOX": True, "a": True, "b": False, "Sent": True,
    }  # fmt: skip
