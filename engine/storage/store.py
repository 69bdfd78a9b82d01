"""What the small stores have in common: an environment of LMDB that is closed with them."""

from typing import Self

import lmdb


class Store:
    """One object a process, for LMDB refuses a second one of the same folder."""

    def __init__(self, environment: lmdb.Environment) -> None:
        self._environment = environment

    def close(self) -> None:
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
