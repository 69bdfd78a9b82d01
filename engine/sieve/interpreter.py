"""A script meets a message: what is to be done comes out."""

from engine.sieve.actions import Action, Keep, Outcome
from engine.sieve.commands import COMMANDS
from engine.sieve.compiled import Script
from engine.sieve.conditions import TESTS
from engine.sieve.errors import RunError
from engine.sieve.limits import DEFAULT, Limits
from engine.sieve.run import Run
from engine.sieve.world import Letter, World


def execute(script: Script, letter: Letter, world: World, limits: Limits = DEFAULT) -> Outcome:
    """Run a script. It never raises for what is in a script or a message, and its work is bounded by ``limits``."""
    run = Run(letter, world, limits, COMMANDS, TESTS)
    run.has_variables = "variables" in script.requires
    try:
        run.block(script.commands)
        # RFC 5228 2.10.2: the implicit keep, with the flags and the header as they are at the end.
        actions: list[Action] = [*run.actions, Keep(run.flags, run.header)] if run.keeps else run.actions
    except RunError as error:
        # All or nothing: half of what a script wants may be the wrong half. RFC 5228 2.10.6
        return Outcome((Keep(),), error=str(error))
    return Outcome(tuple(actions), tuple(run.remember))
