"""What the engine says, in the reader's language: every text has a form in the catalogues, and is known by it."""

import time

import pytest
from babel.messages.pofile import read_po
from engine_texts import LEFT, ROOT, SILENT, engine_texts, texts

from engine.config.errors import nearest
from engine.web.languages import LANGUAGES
from engine.wording.phrases import LONGEST, Phrases, pieces, read_catalogue, said

OTHERS = sorted(set(LANGUAGES) - {"en"})


def catalogues(language, name="*"):
    for path in sorted((ROOT / "engine/wording/catalogue" / language).glob(f"{name}.po")):
        with path.open("rb") as file:
            yield from (one for one in read_po(file, locale=language) if one.id)


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_of_the_engine_that_can_reach_a_page_is_translated(language):
    known = {one.id for one in catalogues(language) if one.string}
    missing = {place: text for text, place in engine_texts().items() if text not in known}
    assert missing == {}


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_left_over_and_none_stands_twice(language):
    ids = [one.id for one in catalogues(language)]
    assert sorted(ids) == sorted(set(ids))
    foreign = {one.id for one in catalogues(language, "foreign")}
    assert set(ids) - foreign - set(engine_texts()) == set()
    assert not [one.id for one in catalogues(language) if one.fuzzy]


@pytest.mark.parametrize("language", OTHERS)
def test_each_translation_has_every_value_once(language):
    for one in catalogues(language):
        count = len(pieces(one.id)) - 1
        values = [f"<{number}>" for number in range(count)]
        shown = one.string.format(*values)
        assert all(shown.count(value) == 1 for value in values), one.id
        assert one.id[0].isspace() == one.string[0].isspace(), one.id


@pytest.mark.parametrize("language", OTHERS)
def test_each_text_is_known_by_its_form(language):
    """A broad one in a text that speaks of it, all others as they are."""
    for one in catalogues(language):
        values = [f"<{number}>" for number in range(len(pieces(one.id)) - 1)]
        text = one.id.format(*values)
        if said(language, text) != one.string.format(*values):
            assert said(language, f"cannot read x: {text}").endswith(one.string.format(*values)), one.id


def test_what_is_silent_is_there():
    assert [name for name in sorted(SILENT) if not (ROOT / name).exists()] == []


def test_what_is_left_is_said_somewhere():
    found = {text for path in (ROOT / "engine").rglob("*.py") for _, text in texts(path, every=True)}
    found |= {text for path in (ROOT / "stages").rglob("*.py") for _, text in texts(path, every=True)}
    assert LEFT - found == set()


@pytest.mark.parametrize(
    ("english", "vietnamese"),
    [
        ("the mailbox is full", "hộp thư đã đầy"),
        ("unknown key; did you mean hostname?", "khóa lạ; có phải ý bạn là hostname?"),
        (f"unknown key{nearest('x', ['one', 'two'])}", "khóa lạ; có: one, two"),
        ("cannot read /a: b: no such file", "không đọc được /a: b: không có tệp này"),
        ("pipeline.toml:3: [queue] retry: is required", "pipeline.toml:3: [queue] retry: là bắt buộc"),
        ("a.toml:1: is required\nb: it is damaged", "a.toml:1: là bắt buộc\nb: nó bị hỏng"),
        ("it is larger than 1,204,000 octets", "nó lớn hơn 1.204.000 byte"),
        ("a grant lasts 30 days at most: [oversight] longest",
         "một quyền kéo dài nhiều nhất 30 ngày: [oversight] longest"),
        ("line 3: 'x' is no address", "dòng 3: 'x' không phải địa chỉ"),
        ("rule 4 is never reached: rule 2 takes all that it would; put it before that one",
         "quy tắc 4 không bao giờ đến lượt: quy tắc 2 nhận hết những gì nó sẽ nhận; hãy đặt nó trước quy tắc đó"),
        ("No connection to mx.example.net [192.0.2.1]: Connection refused",
         "Không có kết nối đến mx.example.net [192.0.2.1]: Kết nối bị từ chối"),
    ],
)  # fmt: skip
def test_texts_within_texts_and_numbers(english, vietnamese):
    assert said("vi", english) == vietnamese
    assert said("en", english) == english


@pytest.mark.parametrize(
    "text",
    [
        "550 5.1.1 The mailbox is over quota, ask the owner",
        "we have 4 more",  # too little of ours in it to say that it is
        "ngày mai",
        "",
        "{} {0} %s",
        "is required " * LONGEST,
    ],
)
def test_the_words_of_others_stay_as_they_are(text):
    assert said("vi", text) == text


def test_a_form_says_most_that_can_be_meant():
    phrases = Phrases({"{} is lost: {}": "mất {}: {}", "{} is lost": "mất {}"}, "vi")
    assert phrases.said("a is lost: b is lost") == "mất a: mất b"
    assert phrases.said("a: is lost") == "mất a:"


def test_hostile_texts_take_no_time():
    """Time grows with the length of a text: patterns that try again and again would take hours for these."""
    began = time.process_time()
    for text in (
        ": " * (LONGEST // 2),
        "; " * (LONGEST // 2),
        "\n" * LONGEST,
        "is is no no address: " * (LONGEST // 21),
    ):
        said("vi", text)
    assert time.process_time() - began < 10


def test_the_catalogue_is_read_once():
    assert dict(read_catalogue("vi"))["the mailbox is full"] == "hộp thư đã đầy"
