"""The embedded directory: domains, accounts and aliases in LMDB, read by every worker, changed while they run.

Every look-up is a short read transaction of its own, so a change made by another process is seen by the next one.
What is stored, and how it is keyed, stands in ``records``. ``rows`` opens it and runs the transactions; the other
modules are the parts of one object, by what they are about.
"""

from typing import ClassVar

from engine.directory.embedded.aliases import Aliases
from engine.directory.embedded.finding import Finding
from engine.directory.embedded.limits import SaidLimits


class Embedded(Finding, Aliases, SaidLimits):
    """The open directory. One object a process (LMDB refuses a second one), shared by its threads; never forked.

    All methods are synchronous; look-ups take microseconds, changes wait for the disk, and those that hash a
    password (``verify``, ``add_account``, ``set_password``) block for longer: run them in a thread.
    Every method may raise Unavailable.
    """

    limiter: ClassVar[None] = None
    checks: ClassVar[int] = 2  # each takes 64 MiB and most of a core for a while (argon2id)
    holds_keys: ClassVar[bool] = True
