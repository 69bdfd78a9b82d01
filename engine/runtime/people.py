"""In which language people of ours are written to: as they have chosen for the pages, else as for their domain."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import lmdb
import msgspec

from engine.storage.environment import StorageError, open_environment
from engine.wording.choice import Languages

MAP_SIZE: Final = 2**30
"""Address space in octets: that of the store of the pages (engine/web/sessions/store.py)."""


class _Person(msgspec.Struct):
    """What we want of what the pages keep of an account."""

    language: str = ""


class People:
    """Those of a server. ``data`` is its data folder."""

    def __init__(self, data: Path, languages: Callable[[], Languages]) -> None:
        self._store = data / "web"
        self._languages = languages

    def language(self, domain: str, account: int = 0) -> str:
        """May block. Whatever is wrong with the store of the pages, letters are written."""
        return self._languages().written_to(domain, self.chosen(account) if account else "").language

    def chosen(self, account: int) -> str:
        """Empty: nothing, or there are no pages."""
        if not (self._store / "data.mdb").exists():
            return ""
        try:
            environment = open_environment(self._store, map_size=MAP_SIZE, databases=6, read_only=True)
        except StorageError:
            return ""
        try:
            with environment.begin() as txn:
                people = environment.open_db(b"people", txn=txn, create=False)
                value = txn.get(account.to_bytes(8, "big"), db=people)
            return msgspec.msgpack.decode(value, type=_Person).language if value else ""
        except (ValueError, lmdb.Error):
            return ""
        finally:
            environment.close()
