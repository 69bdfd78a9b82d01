"""How a command has the running server change mailboxes."""

from engine.cli.configured import fail
from engine.cli.workers import ask
from engine.config import Config
from engine.links.request import Unanswered
from engine.mailbox.commands import Answer, AnyCommand, packed, unpack_answer
from engine.runtime.places import MAILBOXES
from engine.runtime.services import CHANGE, REMOVE
from engine.runtime.state import Running, State


def running(config: Config) -> Running:
    """The server that runs; without one our command ends with exit code 1."""
    found = State(config.server.data).running()
    if found is None:
        fail(f"no server runs on {config.server.data}; start it first")
    return found


def changed(config: Config, command: AnyCommand, *, seconds: float = 60) -> Answer:
    """What the owner of the mailboxes answers. Without one, or an answer in time, our command ends with exit code 1."""
    server = running(config)
    try:
        return unpack_answer(ask(server, MAILBOXES, REMOVE, CHANGE, packed(command), seconds=seconds))
    except Unanswered as error:
        fail(str(error))
