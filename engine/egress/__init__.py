"""The ways that mail leaves by: from which address, for whom, how much of it, and who we are to a smart host.

``Egress`` is what stages ask; ``plan`` is what `pipeline.toml` says of it.
"""

from engine.egress.egress import Egress, Leaving
from engine.egress.plan import Plan, Unusable

__all__ = ["Egress", "Leaving", "Plan", "Unusable"]
