"""The history of messages: what happened to each of them, kept for a while, so that it can be explained."""

from engine.history.notes import history

__all__ = ["history"]
