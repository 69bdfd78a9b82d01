"""`postroad dsn`: a report before anybody gets one, and reports of others."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from engine.cli import main
from engine.wording import BUILT_IN, built_in
from engine.wording import words as module
from tests.delivery_status import bounce_samples as samples
from tests.support.dsn_grammar import strict
from tests.support.server import BASE, merged, toml

ENGLISH = Path(module.__file__).parent / "en.toml"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "nl.toml").write_text(ENGLISH.read_text().replace("Your message", "Uw bericht"))
    path = tmp_path / "pipeline.toml"
    settings = {"words": "words", "language": "nl", "domains": {"de": ["example.de"]}}
    path.write_text(toml(merged(BASE, {"delivery_reports": settings})))
    return path


def run(config: Path, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["--config", str(config), "dsn", *map(str, arguments)])


@pytest.mark.parametrize("language", BUILT_IN)
@pytest.mark.parametrize("action", ["failed", "delayed", "delivered", "relayed", "expanded"])
def test_every_letter_can_be_seen(config: Path, language: str, action: str) -> None:
    result = run(config, "preview", "--language", language, "--action", action)
    assert result.exit_code == 0, result.output
    assert f"Subject: {built_in(language).subject[action]}\n" in result.stdout
    whole = run(config, "preview", "--language", language, "--action", action, "--whole")
    assert strict(whole.stdout_bytes).only["action"] == action


def test_the_language_is_chosen_as_for_a_real_message(config: Path, tmp_path: Path) -> None:
    assert "Uw bericht of" in run(config, "preview").stdout
    assert "Ihre Nachricht vom" in run(config, "preview", "--sender", "x@example.de").stdout
    letter = tmp_path / "letter.eml"
    letter.write_bytes(b"Accept-Language: fr-CA\r\nSubject: x\r\n\r\nhello\r\n")
    assert "Votre message du" in run(config, "preview", letter).stdout
    unknown = run(config, "preview", "--language", "tlh")
    assert unknown.exit_code == 1
    assert "there are no words for tlh" in unknown.output


def test_reports_of_others_for_people_and_for_programs(config: Path, tmp_path: Path) -> None:
    files = [tmp_path / "postfix.eml", tmp_path / "qmail.eml", tmp_path / "none.eml"]
    for path, octets in zip(files, (samples.POSTFIX, samples.QMAIL, b"Subject: hello\r\n\r\n"), strict=True):
        path.write_bytes(octets)
    result = run(config, "read", *files[:2])
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[:3] for row in rows] == [
        ["bob@far.example", "failed", "5.1.1"],
        ["eve@far.example", "delayed", "4.2.2"],
        ["bob@far.example", "failed", "5.1.1"],
        ["eve@other.example", "failed", "5.1.2"],
    ]
    result = run(config, "read", "--json", *files)
    assert result.exit_code == 1
    assert "none.eml: this is no report on delivery that can be read" in result.stderr
    found = json.loads(result.stdout)
    assert [one["form"] for one in found] == ["standard", "standard", "qmail", "qmail"]
    assert found[0]["envelope_id"] == "QQ+314"


def test_what_is_wrong_with_words_is_said_by_check(config: Path) -> None:
    good = CliRunner().invoke(main, ["--config", str(config), "check"])
    assert good.exit_code == 0, good.output
    (config.parent / "words" / "nl.toml").write_text(ENGLISH.read_text().replace("{hostname}", "{host}"))
    (config.parent / "words" / "pt.toml").write_text("")
    bad = CliRunner().invoke(main, ["--config", str(config), "check"])
    assert bad.exit_code == 2
    assert "[delivery_reports] words: nl.toml: server: {host} is unknown; there is {hostname}" in bad.output
    assert "[delivery_reports] words: pt.toml: " in bad.output


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"words": "nowhere"}, "is no folder"),
        ({"language": "jp"}, "there are no words for 'jp'; there are: de, en"),
        ({"domains": {"deu": ["example.de"]}}, "there are no words for 'deu'"),
        ({"domains": {"de": ["exa mple"]}}, "is no domain name"),
        ({"langauge": "de"}, "did you mean language?"),
        ({"return_whole": "much"}, "[delivery_reports] return_whole"),
    ],
)
def test_what_is_wrong_with_settings(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    path = tmp_path / "pipeline.toml"
    path.write_text(toml(merged(BASE, {"delivery_reports": settings})))
    result = CliRunner().invoke(main, ["--config", str(path), "check"])
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"address": "bounces@example.org", "secret_file": "secret"}, "names no mail"),
        ({"address": "bounces", "secret_file": "secret", "lists": True}, "is no address"),
        ({"address": "b@example.org", "secret_file": "none", "lists": True}, "cannot read"),
        ({"address": "b@example.org", "secret_file": "secret", "senders": ["a b@example.org"]}, "is no address"),
        ({"address": "b@example.org", "secret_file": "secret", "senders": ["exa mple"]}, "is no domain name"),
        ({"address": "b@example.org", "secret_file": "secret", "lists": True}, "no lane has a stage that does"),
    ],
)
def test_what_is_wrong_with_verp(tmp_path: Path, settings: dict[str, object], said: str) -> None:
    (tmp_path / "secret").write_text("horse\n")
    path = tmp_path / "pipeline.toml"
    path.write_text(toml(merged(BASE, {"verp": settings})))
    result = CliRunner().invoke(main, ["--config", str(path), "check"])
    assert result.exit_code == 2
    assert said in result.output
