"""IMAP: what a server may say that mail is taken from."""

from engine.protocols.imap_client.answers import Answers, ImapError, Item, Limits, Part, Untagged
from engine.protocols.imap_client.data import fetched, listed, number_of
from tests.fuzz.targets.cutting import cut

LIMITS = Limits(line=200, held=20, literals=4, largest=1000, depth=4)


def imap_answers(data: bytes) -> None:
    """Whole and in pieces they are the same, and what they mean, if anything, can be told."""
    whole, pieces = cut(data)
    found = _answers(whole)
    assert found == _answers(pieces)
    for item in found:
        if isinstance(item, Untagged):
            name, message = listed(item), fetched(item)
            number_of(item, "EXISTS")
            assert name is None or name.name
            assert message is None or 0 < message.uid < 2**32


def _answers(pieces: list[bytes]) -> list[Item | str]:
    """Items, and last the error, if it is one; parts of a literal are one."""
    answers, found = Answers(LIMITS), list[Item | str]()
    try:
        for piece in pieces:
            answers.receive(piece)
            while (item := answers.next()) is not None:
                if isinstance(item, Part) and found and isinstance(found[-1], Part):
                    item = Part(found.pop().octets + item.octets)  # type: ignore[union-attr]
                found.append(item)
    except ImapError as error:
        found.append(str(error))
    return found
