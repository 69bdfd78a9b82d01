"""How much a script, and a run of it, may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What is compiled and run within. A script that is over one is refused; a run that is over one ends in a keep."""

    script: int = 256 * 1024  # octets of one script
    nesting: int = 32  # blocks and tests within one another; RFC 5228 2.10.5 asks for 15
    mistakes: int = 20  # that are told of one script
    regex: int = 1000  # states of one regular expression
    variables: int = 128  # that one script names; RFC 5229 3 asks for 128
    variable: int = 4096  # characters that a variable holds, the rest is cut; RFC 5229 3 asks for 4000
    instructions: int = 5_000  # commands and tests that are run
    work: int = 50_000_000  # characters that are looked at, one by one
    text: int = 1_000_000  # characters of the body that a test sees
    actions: int = 32  # deliveries, answers and notices, redirects among them
    redirects: int = 4
    edits: int = 32  # header fields that are added
    include_depth: int = 10
    includes: int = 64  # scripts that are included, however often each
    shortest_vacation: int = 60  # seconds between two answers to one sender
    longest_vacation: int = 366 * 86_400  # seconds
    longest_duplicate: int = 90 * 86_400  # seconds that an id is remembered


DEFAULT = Limits()
