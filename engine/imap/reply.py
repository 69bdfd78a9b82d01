"""How a command ends."""

from typing import NamedTuple


class Done(NamedTuple):
    """OK."""

    text: str
    code: bytes = b""


class No(Exception):
    """NO: it cannot be done."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Bad(Exception):
    """BAD: it makes no sense."""

    def __init__(self, text: str, code: bytes = b"") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
