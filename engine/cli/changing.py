"""How a command has the running server change mailboxes."""

from engine.cli.configured import fail
from engine.cli.workers import ask
from engine.config import Config
from engine.links.request import Unanswered
from engine.mailbox.commands import Answer, AnyCommand, packed, unpack_answer
from engine.runtime.places import MAILBOXES
from engine.runtime.roles import CHANGE, REMOVE
from engine.runtime.state import State


def changed(config: Config, command: AnyCommand, *, seconds: float = 60) -> Answer:
    """What the owner of the mailboxes answers. Without one, or an answer in time, our command ends with exit code 1."""
    running = State(config.server.data).running()
    if running is None:
        fail(f"no server runs on {config.server.data}; start it first")
    try:
        return unpack_answer(ask(running, MAILBOXES, REMOVE, CHANGE, packed(command), seconds=seconds))
    except Unanswered as error:
        fail(str(error))
