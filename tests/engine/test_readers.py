"""Readers that were killed."""

import subprocess
import sys
from pathlib import Path

import trio

from engine.storage.environment import open_environment
from engine.storage.readers import free_readers

READER = """
import sys, lmdb
environment = lmdb.open(sys.argv[1], readonly=True)
transaction = environment.begin()
print("reading", flush=True)
sys.stdin.read()
"""


async def test_what_a_killed_reader_held_is_given_back(tmp_path: Path, autojump_clock) -> None:
    environment = open_environment(tmp_path / "store", map_size=2**20, databases=0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(free_readers, environment)
        await trio.testing.wait_all_tasks_blocked()
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(tmp_path / "store")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"reading\n"
        await trio.sleep(60)
        assert str(reader.pid) in environment.readers()
        reader.kill()
        reader.communicate()
        await trio.sleep(60)
        assert str(reader.pid) not in environment.readers()
        nursery.cancel_scope.cancel()
    environment.close()
