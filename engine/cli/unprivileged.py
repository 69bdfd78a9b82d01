"""Checking a configuration whose texts another user could have written: its filters are code, and run when loaded."""

import os
import sys
import traceback
from pathlib import Path

from engine.config import ConfigError, parse
from engine.revisions import Kept, in_folder


def checked(data: Path, pipeline: Path, kept: Kept) -> str:
    """The mistakes that a kept revision has now, a line each; "" when it is good.

    Root has it looked at by a process of the user whose data folder it is.
    """
    owner = data.stat()
    if os.geteuid() != 0 or owner.st_uid == 0:
        return _mistakes(pipeline, kept)
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        _look_and_end(owner, writing, pipeline, kept)
    os.close(writing)
    with open(reading, errors="replace") as said:
        problems = said.read()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return problems or (f"{pipeline}: to look at it ended with exit code {code}" if code else "")


def _look_and_end(owner: os.stat_result, writing: int, pipeline: Path, kept: Kept) -> None:
    """In the child: become that user for good, look, say what was found, and end."""
    code = 1
    try:
        os.setgroups([owner.st_gid])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        with open(writing, "w", errors="replace") as said:
            said.write(_mistakes(pipeline, kept))
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.stderr)
    finally:
        os._exit(code)


def _mistakes(pipeline: Path, kept: Kept) -> str:
    try:
        parse(kept.text, pipeline, in_folder(kept.files, pipeline.parent))
    except ConfigError as error:
        return str(error)
    return ""
