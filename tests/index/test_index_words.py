"""Full text: what the index finds is what a look at each text finds."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.index.fulltext import FullText, Worded, file_of, search
from engine.index.layout import Mark
from engine.index.query import Text
from engine.index.words import LONGEST, MOST_WORDS, STEP, Words, pieces, terms
from engine.mime.search import folded

LETTERS = st.text(alphabet="abAB .-_@é\u0301ßŁ中文字\n", max_size=12)


def words_of(text: str, step: int = 1 << 20) -> frozenset[str]:
    words = Words()
    for place in range(0, len(text), step):
        words.feed(text[place : place + step])
    return words.end()


def key(number: int) -> bytes:
    return number.to_bytes(24, "big")


def kept(path: Path, texts: list[str], headers: list[str]) -> Path:
    file = file_of(path, 1)
    with FullText(file) as index:
        messages = [
            Worded(key(number), words_of(header), words_of(text))
            for number, (header, text) in enumerate(zip(headers, texts, strict=True))
        ]
        index.add(messages, [(1, Mark(7, len(texts)))])
    return file


@given(st.lists(st.tuples(LETTERS, LETTERS), min_size=1, max_size=8), LETTERS)
@example([("", "Straße"), ("", "STRASSE"), ("", "strasser")], "STRASSE")
@example([("a", "b.c"), ("", "bc"), ("", "c.b")], "b.c")
@example([("", "e\u0301t\u00e9")], "\u00e9T\u00c9")
def test_what_is_found_is_what_a_look_at_each_text_finds(
    tmp_path_factory: pytest.TempPathFactory, mail: list[tuple[str, str]], asked: str
) -> None:
    headers, texts = [header for header, _ in mail], [text for _, text in mail]
    file = kept(tmp_path_factory.mktemp("index"), texts, headers)
    for in_header in (True, False):
        having = {
            key(number)
            for number, (header, text) in enumerate(mail)
            if folded(asked) in folded(text) or (in_header and folded(asked) in folded(header))
        }
        found = search(file, Text(asked, header=in_header))
        if not found.marks:  # it says nothing: the text has no words
            assert not found.sure | found.unsure
            assert not terms(asked).terms
            continue
        assert found.known(1, 7) == len(mail)
        assert found.sure <= having
        assert having <= found.sure | found.unsure
        if folded(asked).isalnum() and len(folded(asked)) <= STEP:
            assert found.sure == having
            assert not found.unsure


@given(st.text(alphabet="ab é\u0301中\n", max_size=300), st.integers(1, 9))
def test_words_are_the_same_however_a_text_is_cut(text: str, step: int) -> None:
    assert words_of(text, step) == words_of(text)


@given(st.integers(1, 400), st.data())
def test_every_part_of_a_long_word_stands_in_one_of_its_pieces(length: int, data: st.DataObject) -> None:
    word = "".join(chr(0x4E00 + number) for number in range(length))
    start = data.draw(st.integers(0, length - 1))
    part = word[start : start + STEP]
    assert any(part in piece for piece in pieces(word))
    assert all(len(piece) <= LONGEST for piece in pieces(word))


def test_a_part_of_a_text_without_spaces_is_found(tmp_path: Path) -> None:
    text = "".join(chr(0x4E00 + number) for number in range(500))
    file = kept(tmp_path, [text, "other"], ["", ""])
    for start in (0, 1, 40, 470):
        assert search(file, Text(text[start : start + 20])).sure == {key(0)}
    assert search(file, Text(text[10:200])).unsure == {key(0)}


def test_a_message_with_too_many_words_is_always_looked_at(tmp_path: Path) -> None:
    words = Words()
    for number in range(2 * MOST_WORDS // 1000):
        words.feed(" ".join(f"w{1000 * number + each}" for each in range(1000)) + "\n")
    found = words.end()
    assert not words.whole
    assert len(found) < MOST_WORDS + 2000
    file = file_of(tmp_path, 1)
    with FullText(file) as index:
        index.add([Worded(key(1), [], found, words.whole), Worded(key(2), [], ["apple"])], [])
    assert search(file, Text("apple")).sure == {key(2)}
    assert search(file, Text("apple")).unsure == {key(1)}


def test_what_is_removed_is_not_found_and_its_number_not_given_again(tmp_path: Path) -> None:
    file = kept(tmp_path, ["apple", "apple pie"], ["", ""])
    with FullText(file) as index:
        index.forget([key(1)])
        assert search(file, Text("apple")).sure == {key(0)}
        index.add([Worded(key(2), [], ["pear"])], [])
        assert search(file, Text("pie")).sure == set()
        assert index.after(key(0), 10) == [key(2)]
        assert not index.is_mostly_gone(1)
        index.forget([key(0), key(2)])
        assert index.is_mostly_gone(1)
    assert search(tmp_path / "nothing", Text("apple")).marks == {}


def test_a_file_that_is_none_says_nothing(tmp_path: Path) -> None:
    file = file_of(tmp_path, 1)
    file.parent.mkdir()
    file.write_bytes(b"no database at all" * 100)
    assert search(file, Text("apple")).marks == {}
