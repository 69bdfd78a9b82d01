"""Sieve (RFC 5228), which sorts a recipient's mail: a script is compiled once, and run on each message.

It carries nothing out and waits for nothing: ``execute`` takes a script, a message and what is known of the world, and
gives the actions that the script wants done.
"""

from engine.sieve.actions import (
    Action,
    Discard,
    FileInto,
    Keep,
    Notify,
    Outcome,
    Redirect,
    Reject,
    Remember,
    Reply,
)
from engine.sieve.compiled import Script, dumps, loads
from engine.sieve.compiler import compile_script
from engine.sieve.errors import Mistake, ScriptError
from engine.sieve.forms import EXTENSIONS
from engine.sieve.interpreter import execute
from engine.sieve.letter import Octets, of_message
from engine.sieve.limits import Limits
from engine.sieve.world import Alone, Letter, Location, Part, World

__all__ = [
    "EXTENSIONS",
    "Action",
    "Alone",
    "Discard",
    "FileInto",
    "Keep",
    "Letter",
    "Limits",
    "Location",
    "Mistake",
    "Notify",
    "Octets",
    "Outcome",
    "Part",
    "Redirect",
    "Reject",
    "Remember",
    "Reply",
    "Script",
    "ScriptError",
    "World",
    "compile_script",
    "dumps",
    "execute",
    "loads",
    "of_message",
]
