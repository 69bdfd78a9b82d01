"""Stages as they are in a rehearsal: effects are stood in for, and a stage that counts or tells only says its mind."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import trio

from engine.config import Stage
from engine.message import SITE, Message
from engine.runtime.stages import RunningStage
from engine.verdict import Delivered, Verdict


class RehearsedStage(RunningStage):
    """``absent``: it asks others, who are not to be asked; it passes on what it is given, and is never opened."""

    def __init__(self, stage: Stage, services: Mapping[Any, Any], *, offline: bool) -> None:
        super().__init__(_stood_in_for(stage) if stage.spec.effect else stage, services)
        self.absent = offline and bool(self._said("asks_others", False))
        if self.absent:
            self._function, self._limiter, self.waits, self._prompt = _passed, None, False, None
        elif (rehearse := self._said("rehearse", None)) is not None:
            synchronous = not inspect.iscoroutinefunction(rehearse)
            self._function, self.waits, self._prompt = rehearse, True, None
            self._limiter = trio.CapacityLimiter(1) if synchronous else None

    def _said(self, name: str, otherwise: Any) -> Any:
        """What the stage says about itself: its instance, or the function that it is."""
        found = getattr(self.instance, name, None)
        return found if found is not None else getattr(self.stage.spec.target, name, otherwise)


def _stood_in_for(stage: Stage) -> Stage:
    """The effect, without any: nothing of it is made, so it needs neither its services nor its settings.

    What it says is its name, and the site where one was found; or what its static method ``rehearse`` says.
    """
    name, rehearse = stage.spec.name, getattr(stage.spec.target, "rehearse", None)

    async def handed_over(message: Message) -> Verdict:
        if rehearse is None:
            site = message.fact(SITE)
            return Delivered(f"{name} {site}" if isinstance(site, str) else name)
        said: Verdict = await rehearse(message)
        return replace(said, reply=f"{name} {said.reply}".rstrip()) if isinstance(said, Delivered) else said

    spec = replace(
        stage.spec,
        target=handed_over,
        services={},
        settings={},
        required=frozenset(),
        synchronous=False,
        hooks=(),
        tables={},
    )
    return replace(stage, spec=spec, settings={})


async def _passed(message: Message) -> Message:
    return message
