"""What a crash can leave behind, removed before the workers start."""

import os
from contextlib import ExitStack, closing

from engine.config import Config
from engine.message import MessageId
from engine.observe.events import event
from engine.queue.snapshot import RESTORE
from engine.queue.store import Shard, content_folder, shard_numbers
from engine.storage.ownership import held, remove_abandoned


def sweep(config: Config) -> None:
    """Remove what nobody refers to, and say so. StorageError while another process owns a shard."""
    broken_off = remove_abandoned(config.server.data, RESTORE)
    if broken_off:
        event("leftovers-removed", files=len(broken_off), why="a restore that was broken off")
    _sweep_content(config)


def _sweep_content(config: Config) -> None:
    """Remove content files to which no message refers: their client never heard 250, or the message is done.

    Only files whose name is a message id are ours; anything else is left and said.
    """
    found = {path.name: path for path in content_folder(config.server.data).iterdir()}
    if not found:
        return
    numbers = shard_numbers(config.server.data)
    removed, strange = [], []
    with ExitStack() as stack:
        for number in numbers:  # a worker that outlives its supervisor may be about to refer to a file
            stack.callback(os.close, held(config.server.data / "queue" / str(number)))
        # For writing: that finishes one whose maker was killed.
        shards = [
            stack.enter_context(closing(Shard(config.server.data, n, map_size=config.queue.map_size))) for n in numbers
        ]
        for name, path in found.items():
            try:
                identity = MessageId.parse(name)
            except ValueError:
                strange.append(name)
                continue
            if not any(shard.refers_to_file(identity) for shard in shards):
                path.unlink()
                removed.append(name)
    if removed:
        event("leftovers-removed", files=len(removed), why="content that no message refers to")
    if strange:
        event("leftovers-kept", files=strange, why="not ours by their names")
