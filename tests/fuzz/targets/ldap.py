"""What an LDAP server says, and the filters that operators write."""

import contextlib

from engine.protocols.ber import Malformed, elements
from engine.protocols.ldap import Answers
from engine.protocols.ldap_filter import BadFilter, escaped, parse_filter
from tests.fuzz.targets.cutting import cut


def ldap_answers(data: bytes) -> None:
    """Whole and in pieces they are the same."""
    whole, pieces = cut(data)
    assert _answers(whole) == _answers(pieces)


def _answers(pieces: list[bytes]) -> list[object]:
    answers, found = Answers(), []
    try:
        for piece in pieces:
            answers.receive(piece)
            while (answer := answers.next(1)) is not None:
                found.append(answer)
    except Malformed as error:
        found.append(str(error))
    return found


def ldap_filter(data: bytes) -> None:
    """What is taken for a filter is one element; what is escaped is never more than a value."""
    text = data.decode("utf-8", "replace")
    with contextlib.suppress(BadFilter):
        assert len(list(elements(parse_filter(text)))) == 1
    ((_, comparison),) = elements(parse_filter(f"(a={escaped(text)})"))
    assert [content for _, content in elements(comparison)] == [b"a", text.encode()]
