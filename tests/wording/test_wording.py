"""The words of reports: those that come along, and what is wrong with those of others."""

from pathlib import Path

import pytest

from engine.protocols.dsn import ACTIONS, RecipientReport
from engine.wording import BUILT_IN, Flawed, built_in, human, read_folder
from engine.wording import words as module

SOURCE = (Path(module.__file__).parent / "en.toml").read_text()


def report(action: str, **changes: object) -> RecipientReport:
    return RecipientReport("b@example.net", action, "5.1.1", **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", BUILT_IN)
def test_every_language_has_words_for_all(language: str) -> None:
    words = built_in(language)
    assert words.reason.keys() == built_in("en").reason.keys()
    assert words.language == language
    for action in ACTIONS:
        letter = human(words, "mx.test", 1e9, [report(action, reply="550 no", remote="mx.far")])
        assert letter.subject == words.subject[action]
        assert "b@example.net" in letter.text
        assert "mx.test" in letter.text
        assert "2001" in letter.text
        assert "{" not in letter.text
        assert "mx.far" in letter.text
        assert all(len(line) <= 100 for line in letter.text.splitlines())


def test_there_is_a_file_for_every_language_and_no_other() -> None:
    assert sorted(path.stem for path in Path(module.__file__).parent.glob("*.toml")) == sorted(BUILT_IN)


def test_a_report_about_several_has_them_by_weight() -> None:
    letter = human(built_in("en"), "mx.test", 1e9, [report("delayed"), report("delivered"), report("failed")])
    assert letter.subject == "Your message could not be delivered"
    said = ("could not be delivered to", "not be delivered yet", "was delivered")
    places = [letter.text.index(text) for text in said]
    assert places == sorted(places)


def test_the_reason_stands_for_our_own_words_where_the_other_server_gave_its_own() -> None:
    words = built_in("de")
    both = human(words, "mx.test", 1e9, [report("failed", text="The next server refused it", reply="550 nope")])
    assert "Diese Adresse gibt es nicht." in both.text
    assert "The next server refused it" not in both.text
    ours = human(words, "mx.test", 1e9, [report("failed", text="Please write a subject line")])
    assert "Please write a subject line" in ours.text
    unknown = RecipientReport("b@example.net", "failed", "5.9.9", "The next server refused it", "550 5.9.9 nope")
    assert "The next server refused it" in human(words, "mx.test", 1e9, [unknown]).text


def test_the_delay_says_until_when() -> None:
    letter = human(built_in("ja"), "mx.test", 1e9, [report("delayed", will_retry_until=1e9 + 86400)])
    assert "2001年09月10日 01:46 UTC まで" in letter.text


@pytest.mark.parametrize("value", ["\x1b[31m", "a\r\nBcc: b", "\ud800"])
def test_no_word_of_others_breaks_the_text(value: str) -> None:
    letter = human(built_in("en"), "mx.test", 1e9, [report("failed", reply=f"550 {value}", remote="mx.far")])
    assert value not in letter.text
    assert letter.text.encode()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{hostname}", "{host}", "server: {host} is unknown; there is {hostname}"),
        ('name = "Mail Delivery System"', 'name = "{x}"', "name: {x} is unknown; nothing is filled in here"),
        ("{date}", "{date!r}", "happened.failed: {date} is unknown"),
        ("{date}", "{0.x}", "{0.x} is unknown"),
        ("{date}", "{", "a brace of its own is written twice"),
        ("%M UTC", "%p", "date may have"),
        ("[reason]", "[reason]\n5.1 = 2", "Expected `str`"),
        ('"1.1" =', '"5.1.1" =', 'reason has "5.1.1"'),
        ('delayed = "Your message is delayed"\n', "", "subject lacks delayed"),
        ('delayed = "Your message is delayed"', 'delayed = "a\\nb"', "subject.delayed must be one line"),
        ("[advice]", "[advice]\nlost = 'x'", "advice has lost"),
        ('said = "The', 'sagte = "The', "unknown field `sagte`"),
        ("[subject]", "[subject", "line"),
        ("This is", "\udcff", ""),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SOURCE
    (tmp_path / "nl.toml").write_bytes(SOURCE.replace(old, new).encode("utf-8", "surrogateescape"))
    (tmp_path / "Nederlands.toml").write_text(SOURCE)
    with pytest.raises(Flawed) as caught:
        read_folder(tmp_path)
    assert f"{said}" in str(caught.value)
    assert "nl.toml: " in str(caught.value)
    assert "Nederlands.toml: is to be named by a language" in str(caught.value)


def test_words_of_an_operator(tmp_path: Path) -> None:
    (tmp_path / "nl.toml").write_text(SOURCE.replace("Your message", "Uw bericht"))
    (found,) = read_folder(tmp_path).values()
    assert (found.language, found.subject["delayed"]) == ("nl", "Uw bericht is delayed")


def test_a_file_of_words_has_a_size() -> None:
    with pytest.raises(Flawed, match="64 KiB"):
        module.words(b"#" * (module.FILE_LIMIT + 1), "en")
