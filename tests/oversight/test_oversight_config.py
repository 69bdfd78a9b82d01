"""`[oversight]`, `[retention.NAME]` and `[journal.NAME]`: what they say, and every mistake in them at once."""

from pathlib import Path

import pytest

from engine.config import ConfigError, advice, days_of, days_of_all, parse

BASE = """
[server]
hostname = "mx.example.org"
[domains]
local = ["example.org"]
[listen]
smtp = "127.0.0.1:0"
[lane.inbound]
stages = [{stages}]
[lane.local]
stages = ["enqueue"]
[[route]]
to = "*"
lane = "local"
"""
PATH = Path("/nowhere/pipeline.toml")
PLAIN, WITH = '"accept", "queue", "route"', '"accept", "journal", "queue", "route"'


def read(more: str, stages: str = PLAIN):
    return parse(BASE.format(stages=stages) + more, PATH)


def mistakes(more: str, stages: str = PLAIN) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(more, stages)
    return [f"{problem.place}: {problem.text}" for problem in raised.value.problems]


def test_what_is_usual() -> None:
    config = read("")
    assert (config.oversight.consent, config.oversight.longest, config.oversight.notice) == (True, 604800.0, "never")
    assert (dict(config.retention), dict(config.journals)) == ({}, {})


def test_names_are_kept_as_they_compare_and_in_their_order() -> None:
    config = read(
        '[retention.b]\nwho = ["Ann@BÜCHER.example", "@Example.ORG"]\n[retention.a]\nkeep = "30d"\n'
        '[journal.x]\nwho = ["Example.org"]\nto = "archive@elsewhere.test"\n',
        WITH,
    )
    assert list(config.retention) == ["b", "a"]
    rule = config.retention["b"]
    assert rule.who == ("ann@xn--bcher-kva.example", "example.org")
    assert rule.is_about("ann@xn--bcher-kva.example")
    assert rule.is_about("eve@example.org")
    assert not rule.is_about("eve@sub.example.org")
    assert config.journals["x"].sender == "postmaster@elsewhere.test"


@pytest.mark.parametrize(
    ("folders", "name", "use", "expected"),
    [
        (("*",), "INBOX", "", True),
        (("\\Trash",), "Papierkorb", "\\Trash", True),
        (("\\Trash",), "Trash", "", False),
        (("Trash",), "Trash", "\\Trash", True),
        (("Lists/*",), "Lists/News/2026", "", True),
        (("Lists/*",), "Lists", "", False),
        (("lists/*",), "Lists/News", "", False),
    ],
)
def test_folders_are_named_by_wildcards_and_uses(folders, name, use, expected) -> None:
    config = read(f"[retention.x]\nfolders = {list(folders)!r}\n".replace("\\\\", "\\"))
    assert config.retention["x"].is_in(name, use) is expected


@pytest.mark.parametrize(
    ("text", "stages", "mistake"),
    [
        ('[oversight]\nlongest = "0s"\n', PLAIN, "[oversight] longest: must be more than 0"),
        ('[oversight]\nnotice = "always"\n', PLAIN, "[oversight] notice: 'always' is none of its values"),
        ('[retention.x]\nkeep = "3h"\n', PLAIN, "[retention.x] keep: must be a day at least"),
        ("[retention.x]\nwho = []\n", PLAIN, "[retention.x] who: names nobody"),
        ("[retention.x]\nfolders = []\n", PLAIN, "[retention.x] folders: names no folder"),
        ('[retention.x]\nkept = "3d"\n', PLAIN, "[retention.x] kept: unknown key; did you mean keep?"),
        ('[journal.x]\nto = "a@b.test"\n', WITH, "[journal.x] who: is required"),
        ('[journal.x]\nwho = ["*"]\n', WITH, "[journal.x] to: is required"),
        ('[journal.x]\nwho = ["a b@c.test"]\nto = "a@b.test"\n', WITH, "[journal.x] who: 'a b@c.test' is no address"),
        ('[journal.x]\nwho = ["*"]\nto = "nobody"\n', WITH, "[journal.x] to: 'nobody' is no address"),
        ('[journal.x]\nwho = ["*"]\nto = "a@b.test"\n', PLAIN, "[journal]: no lane has a stage that does"),
        ("", '"accept", "queue", "journal", "route"', "[lane.inbound] stages: journal must stand before `queue`"),
    ],
)
def test_mistakes_are_told(text: str, stages: str, mistake: str) -> None:
    found = mistakes(text, stages)
    assert len(found) == 1
    assert found[0].startswith(mistake)


def test_a_lane_past_the_journal_is_warned_of() -> None:
    journal = '[journal.x]\nwho = ["*"]\nto = "a@b.test"\n'
    other = '[lane.second]\nlisten = ["lmtp"]\nstages = ["more", "queue", "route"]\n'
    other += '[stage.more]\nuse = "stages.accept"\n'
    text = BASE.format(stages=WITH).replace('smtp = "127.0.0.1:0"', 'smtp = "127.0.0.1:0"\nlmtp = "127.0.0.1:0"')
    (warning,) = advice(parse(text + journal + other, PATH))
    assert warning.place == "[lane.second] stages"
    assert warning.text.startswith("mail that comes in here is not journaled: put journal before")
    assert advice(parse(BASE.format(stages=WITH) + journal, PATH)) == []
    assert advice(parse(BASE.format(stages=PLAIN), PATH)) == []


def test_retention_needs_accounts_of_our_own() -> None:
    ldap = '[directory.ldap]\nbase = "dc=x"\nservers = ["ldaps://ldap.example.org"]\npostmaster = "p@example.org"\n'
    (mistake,) = mistakes('[retention.x]\nkeep = "30d"\n' + ldap)
    assert mistake.startswith("[retention]: needs accounts that are kept here")


@pytest.mark.parametrize(
    ("rules", "of_all", "of_ann", "of_bob"),
    [
        ("", (0, False), 0, 0),
        ('[retention.trash]\nkeep = "30d"\nfolders = ["\\\\Trash"]\n', (0, False), 0, 0),
        ('[retention.all]\nkeep = "400d"\n', (400, False), 400, 400),
        ('[retention.ann]\nkeep = "90d"\nwho = ["ann@example.org"]\n', (90, True), 90, 0),
        (
            '[retention.ann]\nkeep = "0s"\nwho = ["ann@example.org"]\n[retention.all]\nkeep = "36h"\n'
            '[retention.never]\nkeep = "1d"\n',
            (1, True), 0, 1,
        ),
        ('[retention.inbox]\nkeep = "45d"\nfolders = ["INB*"]\n[retention.rest]\nkeep = "7d"\n', (45, False), 45, 45),
    ],
)  # fmt: skip
def test_for_how_many_days_inbox_keeps_mail(rules: str, of_all: tuple[int, bool], of_ann: int, of_bob: int) -> None:
    """What POP3 says of it (RFC 2449 6.7)."""
    found = read(rules).retention.values()
    assert days_of_all(found) == of_all
    assert (days_of(found, "ann@example.org"), days_of(found, "bob@example.org")) == (of_ann, of_bob)
