"""Letters as mailers write them, and what IMAP, lists of messages and threads say of them.

`python -m tests.mime.test_letters` writes what is said now beside each letter: read the difference before it is kept.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.mime.bodystructure import body, bodystructure
from engine.mime.digest import Digest, between, digest, dump, load
from engine.mime.fields import fields
from engine.mime.parameters import value_of
from engine.mime.search import body_texts, header_texts

LETTERS = sorted((Path(__file__).parent / "letters").glob("*.eml"))


def octets_of(path: Path) -> bytes:
    return path.read_bytes().replace(b"\n", b"\r\n")


def read(octets: bytes, step: int) -> Digest:
    return digest(lambda: [octets[place : place + step] for place in range(0, len(octets), step)], 0.0)


def said(octets: bytes) -> str:
    """All that is read of a letter, a line for each."""
    found = read(octets, 4096)
    message = found.message
    names = [
        value_of(part.details.disposition_parameters, b"filename")
        for part in message.walk()
        if part.details is not None
    ]
    texts = "".join(body_texts(message, lambda start, end: between([octets], start, end)))
    subject = dict(header_texts(fields(octets[: message.body]))).get("subject", "")
    lines = [
        ("envelope", shown(message.envelope)),
        ("bodystructure", shown(bodystructure(message))),
        ("body", shown(body(message))),
        ("subject", subject),
        ("preview", found.preview),
        ("keys", str(found.keys)),
        ("thread", f"{found.message_id!r} {found.references!r}"),
        ("names", ", ".join(filter(None, names))),
        ("text", " ".join(texts.split())),
    ]
    return "".join(f"{name}: {line}\n" for name, line in lines)


def shown(answer: bytes) -> str:
    return answer.decode("utf-8", "backslashreplace").replace("\r\n", "⏎")


@pytest.mark.parametrize("path", LETTERS, ids=lambda path: path.stem)
def test_what_is_read_of_a_letter(path: Path) -> None:
    assert said(octets_of(path)) == path.with_suffix(".txt").read_text()


@pytest.mark.parametrize("path", LETTERS, ids=lambda path: path.stem)
def test_a_digest_is_the_same_from_any_chunks_and_when_it_was_stored(path: Path) -> None:
    octets = octets_of(path)
    whole = read(octets, len(octets))
    for step in (1, 7, 100):
        assert read(octets, step) == whole
    stored = dump(whole)
    assert load(stored) == whole
    assert load(stored[:-1]) is None
    assert load(b"\xff" + stored[1:]) is None


if __name__ == "__main__":
    for letter in LETTERS:
        letter.with_suffix(".txt").write_text(said(octets_of(letter)))


@given(st.binary(max_size=100))
def test_no_stored_form_makes_loading_fail(octets: bytes) -> None:
    for data in (octets, b"\x01" + octets):
        assert load(data) is None or isinstance(load(data), Digest)
