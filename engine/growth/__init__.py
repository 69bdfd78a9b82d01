"""How mailboxes grow: what each account held day by day, and when it will be full if that goes on."""

from engine.growth.line import LEAST, Estimate, estimate
from engine.growth.series import KEPT, Day, Growth

__all__ = ["KEPT", "LEAST", "Day", "Estimate", "Growth", "estimate"]
