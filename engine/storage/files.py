"""Files that are put in their place whole, and for our user alone."""

import os
from pathlib import Path


def write(path: Path, octets: bytes) -> None:
    """Put a file in its place, whole and synced, with mode 0600; its folders come into being with 0700."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    descriptor = private(str(new), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(descriptor, "wb") as file:
        file.write(octets)
        file.flush()
        os.fsync(descriptor)
    new.replace(path)


def private(path: str, flags: int) -> int:
    """An opener of files that are ours alone. OSError for a link: who may write in the folder is not always us."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on disk. OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def give_to(owner: os.stat_result, *folders: Path) -> None:
    """What root has made, with all that is in it, is the user's whose folder it is for; never what a link leads to."""
    if os.geteuid() == 0 and owner.st_uid:
        for folder in folders:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
