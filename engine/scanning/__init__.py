"""Scanners and other judges outside: how they are asked, and what becomes of mail when they do not answer."""

from engine.scanning.guard import Guard, Unreachable

__all__ = ["Guard", "Unreachable"]
