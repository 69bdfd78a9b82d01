"""Files that `pipeline.toml` names."""

import os
from pathlib import Path

from engine.config.document import Document


def secrets_in(path: Path) -> tuple[bytes, ...]:
    """The secrets in a file, one a line. OSError."""
    return tuple(filter(None, map(bytes.strip, path.read_bytes().splitlines())))


def check_readable(document: Document, key: str, path: Path) -> None:
    if not os.access(path, os.R_OK):
        document.problem(key, f"cannot read {path}: {'permission denied' if path.exists() else 'no such file'}")


def check_secrets(document: Document, key: str, path: Path) -> None:
    try:
        if not secrets_in(path):
            document.problem(key, f"there is no secret in {path}; write one a line")
    except OSError as error:
        document.problem(key, f"cannot read {path}: {error.strerror}")
