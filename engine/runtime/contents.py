"""Contents that come with a verdict: which of them a stage has made, and others in their place."""

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from msgspec.structs import replace

from engine.message import Content, Message
from engine.verdict import Changed, Each, Route, Verdict

Said: TypeAlias = "Verdict | Changed | tuple[Route, ...]"
"""What comes back from a leg."""

_WITH_CONTENTS = (Message, Each, Changed)


def new_contents(asked: Message, verdict: Said) -> list[Content]:
    """The contents that the verdict has in place of the one that was asked about, each once."""
    if verdict is asked or not isinstance(verdict, _WITH_CONTENTS):
        return []
    if isinstance(verdict, Message):
        return [verdict.content] if verdict.content is not asked.content else []
    found = {id(message.content): message.content for message in _messages(verdict)}
    found.pop(id(asked.content), None)
    return list(found.values())


def with_contents(verdict: Said, others: Mapping[int, Content]) -> Said:
    """The same verdict with other contents in place of those with these ids; who shared a message still shares it."""
    done: dict[int, Message] = {}

    def changed(message: Message) -> Message:
        content = others.get(id(message.content))
        if content is None:
            return message
        if id(message) not in done:
            done[id(message)] = replace(message, content=content)
        return done[id(message)]

    def in_each(each: Each) -> Each:
        return Each({a: changed(one) if isinstance(one, Message) else one for a, one in each.verdicts.items()})

    match verdict:
        case Message():
            return changed(verdict)
        case Each():
            return in_each(verdict)
        case Changed(message, later):
            return Changed(changed(message), in_each(later) if isinstance(later, Each) else later)
    return verdict


def _messages(verdict: Said) -> Iterator[Message]:
    match verdict:
        case Message():
            yield verdict
        case Each(verdicts):
            yield from (one for one in verdicts.values() if isinstance(one, Message))
        case Changed(message, later):
            yield message
            yield from _messages(later)
