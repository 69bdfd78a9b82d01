"""Contents that come with a verdict: which of them a stage has made, and others in their place."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import trio
from msgspec.structs import replace

from engine.message import Content, Message, Octets
from engine.observe.events import event
from engine.queue.content import set_aside
from engine.verdict import Changed, Defer, Each, Route, Verdict

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


def aside(verdict: Said, large: Sequence[Octets], folder: Path, then: Callable[[Said], None]) -> None:
    """Have ``then`` hear the verdict with files in place of those contents: how much is under way must not show in
    memory.
    """
    trio.lowlevel.spawn_system_task(_filed, verdict, large, folder, then)


async def _filed(verdict: Said, large: Sequence[Octets], folder: Path, then: Callable[[Said], None]) -> None:
    try:
        files = {id(one): await trio.to_thread.run_sync(set_aside, one, folder) for one in large}
        verdict = with_contents(verdict, files)
    except Exception as error:
        event("content-failed", error=str(error))
        verdict = Defer("The message cannot be stored now, try again later", "4.3.1", log=str(error))
    then(verdict)


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
