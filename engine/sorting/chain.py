"""Scripts one after the other, an operator's before and behind the account's own, as if they were one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from engine.sieve import Action, FileInto, Keep, Limits, Octets, Redirect, Remember, Script, World, execute


@dataclass(frozen=True, slots=True)
class Link:
    """One script of the chain; ``name`` is for messages about it, ``own``: it is the account's."""

    name: str
    script: Script
    own: bool = False


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of all; ``errors`` name the scripts that were stopped, as if they had not been there."""

    actions: tuple[Action, ...]
    remember: tuple[Remember, ...] = ()
    errors: tuple[tuple[Link, str], ...] = ()


def run(links: Iterable[Link], letter: Octets, world: World, limits: Limits) -> Ran:
    """Run them as far as each leaves the message in the inbox: what one has done with it, the next does not undo.

    A later one sees the header section that an earlier one has made.
    """
    actions: list[Action] = []
    remember: list[Remember] = []
    errors: list[tuple[Link, str]] = []
    keep = Keep()
    for link in links:
        outcome = execute(link.script, letter, world, limits)
        if outcome.error:
            errors.append((link, outcome.error))
            continue
        remember += outcome.remember
        found = [_with_header(action, keep.header) for action in outcome.actions]
        actions += [action for action in found if not isinstance(action, Keep)]
        kept = [action for action in found if isinstance(action, Keep)]
        if not kept:
            return Ran(tuple(actions), tuple(remember), tuple(errors))
        keep = replace(kept[-1], flags=kept[-1].flags or keep.flags)
        if keep.header is not None:
            letter = letter.with_header(keep.header)
    return Ran((*actions, keep), tuple(remember), tuple(errors))


def _with_header(action: Action, header: bytes | None) -> Action:
    """The action on what an earlier script has made of the message."""
    if isinstance(action, Keep | FileInto | Redirect) and action.header is None and header is not None:
        return replace(action, header=header)
    return action
