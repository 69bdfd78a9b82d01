"""Logins: the one place that decides who may come in, for all protocols."""

from engine.login.guard import Ban, Guard
from engine.login.service import MECHANISMS, Logins, Visitor

__all__ = ["MECHANISMS", "Ban", "Guard", "Logins", "Visitor"]
