"""What holds for the connections of one way: what its shape says, and else what is set for the stage."""

from dataclasses import dataclass, replace

from engine.outbound.session import Terms
from engine.shaping.shape import Shape


@dataclass(frozen=True, slots=True)
class Bounds:
    """``idle``: seconds for which a connection is kept for the next message."""

    connections: int
    idle: float
    messages_per_connection: int
    terms: Terms

    def by(self, shape: Shape) -> "Bounds":
        """The same, but for what the shape says."""
        terms = self.terms
        if timeouts := shape.timeouts:
            terms = replace(terms, timeouts=replace(terms.timeouts, **timeouts))
        return Bounds(
            shape.connections or self.connections,
            self.idle if shape.idle is None else shape.idle,
            shape.messages_per_connection or self.messages_per_connection,
            terms,
        )
