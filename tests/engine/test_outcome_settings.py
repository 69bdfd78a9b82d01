"""`[bounces]`, `[webhook.NAME]` and `[suppression]`: what they are read into, and what is wrong said with its line."""

from pathlib import Path

import pytest

from engine.config import Config, ConfigError, Fill, parse
from engine.units import Duration

GOOD = """\
[server]
hostname = "mx.test"
[listen]
smtp = "127.0.0.1:2525"
[lane.inbound]
stages = ["accept", "suppress", "queue", "resolve", "relay"]
"""
HOOK = '[webhook.crm]\nurl = "https://hooks.example.org/mail"\nsecret_file = "secret"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("a secret\n")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "patterns.toml").write_text('[[pattern]]\nclass = "rte"\ntexts = ["x"]\n')
    return tmp_path


def read(folder: Path, text: str) -> Config:
    return parse(GOOD + text, folder / "pipeline.toml")


def test_what_is_usual(folder: Path) -> None:
    config = read(folder, "")
    assert config.bounces.log
    assert config.webhooks == ()
    assert config.suppression is None


def test_webhooks_are_read_in_their_order(folder: Path) -> None:
    config = read(
        folder, HOOK + HOOK.replace("crm", "log").replace("https://hooks.example.org/", "http://[::1]:8080/a?b=")
    )
    one, two = config.webhooks
    assert (one.name, one.place) == ("crm", ("hooks.example.org", 443, True, "/mail"))
    assert (two.name, two.place) == ("log", ("::1", 8080, False, "/a?b=mail"))
    assert one.secret_file == folder / "secret"


def test_what_fills_the_suppression_list(folder: Path) -> None:
    assert read(folder, "[suppression]\n").suppression == {
        "invalid-recipient": Fill(name="invalid-recipient", after=2),
        "inactive-mailbox": Fill(name="inactive-mailbox", after=3, within=Duration("60d"), keep=Duration("13w")),
        "complaint": Fill(name="complaint", keep=Duration("0s")),
        "unsubscribe": Fill(name="unsubscribe", keep=Duration("0s")),
    }
    fills = read(folder, "[suppression.inactive-mailbox]\nafter = 1\n[suppression.policy]\nkeep = '1d'\n").suppression
    assert fills is not None
    assert fills["inactive-mailbox"] == Fill(
        name="inactive-mailbox", after=1, within=Duration("60d"), keep=Duration("13w")
    )
    assert fills["policy"] == Fill(name="policy", keep=Duration("1d"))


@pytest.mark.parametrize(
    ("text", "line", "place", "why"),
    [
        ('[bounces]\npatterns = "patterns.toml"', 8, "[bounces] patterns", "there is no class rte"),
        ('[bounces]\npatterns = "gone.toml"', 8, "[bounces] patterns", "No such file or directory"),
        ("[bounces]\nlogs = true", 8, "[bounces] logs", "unknown key; did you mean log?"),
        ("[webhook.crm]\n", 7, "[webhook.crm] url", "is required"),
        (HOOK + 'name = "x"', 10, "[webhook.crm] name", "unknown key"),
        (HOOK.replace("https", "http"), 8, "[webhook.crm] url", "must begin with https://"),
        (HOOK.replace("https", "ftp"), 8, "[webhook.crm] url", "is no place to post to"),
        (HOOK.replace("hooks.", "ann:secret@hooks."), 8, "[webhook.crm] url", "is no place to post to"),
        (HOOK.replace(".org/", ".org:http/"), 8, "[webhook.crm] url", ""),
        (HOOK.replace('"secret"', '"empty"'), 9, "[webhook.crm] secret_file", "there is no secret in"),
        (HOOK.replace('"secret"', '"gone"'), 9, "[webhook.crm] secret_file", "No such file or directory"),
        (HOOK + 'trust = "gone"', 10, "[webhook.crm] trust", "no such file"),
        (HOOK + 'events = ["failure"]', 10, "[webhook.crm] events", "there is no event failure"),
        (HOOK + 'classes = ["rte"]', 10, "[webhook.crm] classes", "there is no class rte; did you mean rate?"),
        (HOOK + "most = 0", 10, "[webhook.crm] most", "must be at least 1"),
        (HOOK + "batch = 0", 10, "[webhook.crm] batch", "must be at least 1"),
        (HOOK + "retry = []", 10, "[webhook.crm] retry", "must name at least one pause"),
        ("[suppression.rte]\n", 7, "[suppression.rte]", "there is no class rte; did you mean rate?"),
        ("[suppression.rate]\nafter = -1", 8, "[suppression.rate] after", "must not be negative; 0: never"),
        ("[suppression.rate]\nname = 'x'", 8, "[suppression.rate] name", "unknown key"),
        ("[suppression]\nrate = 5", 8, "[suppression] rate", "table"),
        ("[stage.suppress]\nignore = ['rte']", 7, "[stage.suppress]", "there is no class rte"),
    ],
)
def test_what_is_wrong(folder: Path, text: str, line: int, place: str, why: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read(folder, text)
    found = [(problem.line, problem.place) for problem in raised.value.problems if why in problem.text]
    assert any(where == line and what.startswith(place) for where, what in found), raised.value.problems
