"""The texts of the pages: none lacks a translation, and dates, numbers and plurals are as each language has them."""

import re
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import read_po

from engine.web.languages import LANGUAGES, texts, wanted
from engine.web.rendering import environment, shown_ago, shown_date, shown_size

WEB = Path(__file__).parents[2] / "engine" / "web"
OTHERS = sorted(set(LANGUAGES) - {"en"})
METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
KEYWORDS = DEFAULT_KEYWORDS | {"ngettext": {None: (1, 2), 4: (2, 3)}}  # engine/web/languages has it with a request
PLACEHOLDER = re.compile(r"%\((\w+)\)s")


def used() -> dict[str | tuple[str, str], str]:
    """All texts in code and templates, each with a place where it is."""
    options = {"**/templates/**.html": {"trimmed": "true", "silent": "false"}}
    found = extract_from_dir(WEB, METHODS, options, KEYWORDS)
    return {message: f"{name}:{line}" for name, line, message, _, _ in found}


def catalogue(language: str) -> Catalog:
    whole = Catalog(language)
    for path in sorted((WEB / "locale" / language).glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if message.id:
                    assert not message.fuzzy, f"{path}: {message.id} is marked fuzzy"
                    other = whole.get(message.id)
                    assert other is None or other.string == message.string, f"{path}: {message.id} is said otherwise"
                    whole[message.id] = message
    return whole


def forms(message) -> list[str]:
    return [message] if isinstance(message, str) else list(message)


def test_there_are_texts():
    assert len(used()) > 100
    assert ("%(num)s account", "%(num)s accounts") in used()


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated(language):
    known = catalogue(language)
    missing = {}
    for message, place in used().items():
        found = known.get(forms(message)[0])
        if found is None or not all(forms(found.string)):
            missing[place] = message
    assert missing == {}


@pytest.mark.parametrize("language", OTHERS)
def test_each_translation_says_the_same_values_and_none_is_left_over(language):
    texts_used = {forms(message)[0]: message for message in used()}
    for message in catalogue(language):
        if not message.id:
            continue
        assert forms(message.id)[0] in texts_used, f"nothing says {message.id!r} any more"
        for string in forms(message.string):
            wanted_names = set(PLACEHOLDER.findall(forms(message.id)[-1]))
            assert set(PLACEHOLDER.findall(string)) <= wanted_names, message.id
            assert wanted_names - {"num"} <= set(PLACEHOLDER.findall(string)), message.id


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_as_many_plural_forms_as_the_language(language):
    known = catalogue(language)
    plurals = [message for message in known if isinstance(message.id, tuple)]
    assert plurals
    for message in plurals:
        assert len(forms(message.string)) == known.num_plurals, message.id


def test_plurals():
    said = "{{ ngettext('%(num)s account', '%(num)s accounts', count) }}"
    for language, one, many in (("en", "1 account", "5 accounts"), ("vi", "1 tài khoản", "5 tài khoản")):
        template = environment(language).from_string(said)
        assert template.render(count=1) == one
        assert template.render(count=5) == many


def test_dates_numbers_and_sizes():
    moment = 1_700_000_000.0
    assert re.match(r"Nov 1[45], 2023, ", shown_date(moment, language="en"))
    assert re.search(r"1[45] thg 11, 2023", shown_date(moment, language="vi"))
    assert shown_size(4_100_000_000, "en") == "4.1 GB"
    assert shown_size(4_100_000_000, "vi") == "4,1 GB"
    assert shown_size(20, "vi") == "20 B"
    import time

    assert shown_ago(time.time() - 7200.5, "en") == "2 hours ago"
    assert shown_ago(time.time() - 7200.5, "vi") == "2 giờ trước"
    assert environment("en").from_string("{{ 1234.5 | number }}").render() == "1,234.5"
    assert environment("vi").from_string("{{ 1234.5 | number }}").render() == "1.234,5"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("vi-VN,vi;q=0.9,en;q=0.8", "vi"),
        ("en-US,en;q=0.9", "en"),
        ("fr,vi;q=0.5", "vi"),
        ("fr,vi;q=0.5,en;q=0.7", "en"),
        ("vi;q=0", "en"),
        ("", "en"),
        ("*", "en"),
        (";;;,,,q=,vi;q=x", "en"),
        ("x" * 10_000, "en"),
    ],
)
def test_the_language_that_a_browser_wants(header, language):
    assert wanted(header) == language


def test_an_unknown_text_stays_what_it_is():
    assert texts("vi").gettext("Nobody has translated this") == "Nobody has translated this"
