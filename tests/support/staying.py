"""What a visitor that stands in for the real one says of who is in: nobody is ever sent away."""

from collections.abc import Callable


class Staying:
    """The end of ``Visitor`` by which connections are ended."""

    def stay(self, sent_away: Callable[[str], None]) -> None:
        """Somebody is in."""

    def leave(self) -> None:
        """Somebody is out."""
