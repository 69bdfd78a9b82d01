"""In which language a sender is written to."""

import errno
import os
from pathlib import Path

import pytest

from engine.wording import BUILT_IN, Languages, built_in, preferred


@pytest.mark.parametrize(
    ("value", "language"),
    [
        ("de", "de"),
        ("de-AT", "de"),
        ("DE-at, en;q=0.8", "de"),
        ("da, en-gb;q=0.8, en;q=0.7", "en"),
        ("en;q=0.5, vi;q=0.9", "vi"),
        ("fr;q=0, es", "es"),
        ("fr;q=0", ""),
        ("*", ""),
        ("", ""),
        ("xx, yy", ""),
        ("de;q=x", ""),
        ("de; q = 0.3 , ja ; q=1", "ja"),
        (", " * 30 + "de", ""),  # so many are not looked at
        ("d" * 100_000, ""),
        ("zh-Hant-TW, ja-JP-u-ca-japanese", "ja"),
    ],
)
def test_the_best_that_we_know(value: str, language: str) -> None:
    assert preferred(value, BUILT_IN) == language


LANGUAGES = Languages({"nl": built_in("en")}, "fr", {"example.de": "de"})


@pytest.mark.parametrize(
    ("domain", "said", "language"),
    [
        ("example.org", {}, "fr"),
        ("example.de", {}, "de"),
        ("example.org", {"Content-Language": "ja"}, "ja"),
        ("example.de", {"Content-Language": "ja"}, "de"),  # what they write may be for others
        ("example.de", {"Accept-Language": "ja"}, "ja"),  # what they read is said
        ("example.de", {"Accept-Language": "xx", "X-Accept-Language": "es"}, "es"),
        ("example.org", {"Accept-Language": None, "Content-Language": "tlh"}, "fr"),
    ],
)
def test_who_says_it(domain: str, said: dict[str, str | None], language: str) -> None:
    assert LANGUAGES.chosen(domain, said).language == language


def test_the_message_need_not_be_asked() -> None:
    deaf = Languages(domains={"example.de": "de"}, follow=False)
    assert deaf.chosen("example.de", {"Accept-Language": "ja"}).language == "de"
    assert deaf.chosen("example.org", {"Accept-Language": "ja"}).language == "en"


def test_words_of_an_operator_go_before_ours() -> None:
    assert LANGUAGES.words("nl") is LANGUAGES.own["nl"]
    assert LANGUAGES.known == {*BUILT_IN, "nl"}


def test_words_at_hand_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    built_in.cache_clear()
    languages = Languages().at_hand()

    def no_descriptor(path: Path) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    monkeypatch.setattr(Path, "read_bytes", no_descriptor)
    assert {languages.words(language).language for language in BUILT_IN} == set(BUILT_IN)
