"""Moments, as answers tell them: those of operations."""

from engine.operations.moments import Moment, moment

__all__ = ["Moment", "moment"]
