"""What a parked message looks like to a person: its header, and how its text begins."""

from engine.message import Message
from engine.mime.digest import between
from engine.mime.preview import preview
from engine.mime.structure import structure


def header(message: Message) -> str:
    """The header section as it stands, with lines that end in a line feed."""
    return message.header_octets().decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n")


def beginning(message: Message) -> str:
    """The first words of the part that a program would show, in one line; of HTML what is read in it."""
    return preview(structure(message.chunks()), lambda start, end: between(message.chunks(), start, end))
