"""Small programs that a test runs: Python in one argument, with nothing but the standard library."""

import sys
from collections.abc import Callable

import trio

from tests.support.server import PATIENCE

PREFACE = """
import hashlib, json, os, signal, subprocess, sys, time

def head():
    return json.loads(sys.stdin.buffer.readline() or "null")

def asked():
    while told := head():
        told["content"] = sys.stdin.buffer.read(told["size"])
        yield told

def answer(**said):
    print(json.dumps(said), flush=True)
"""


def python(code: str) -> tuple[str, ...]:
    """The command that runs this code, behind PREFACE."""
    return (sys.executable, "-I", "-S", "-c", PREFACE + code)


async def eventually(holds: Callable[[], object]) -> None:
    """Wait until ``holds()`` gives something true; TooSlowError when it never does."""
    with trio.fail_after(PATIENCE):
        while not holds():
            await trio.sleep(0.02)
