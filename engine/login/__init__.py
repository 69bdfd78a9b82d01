"""Logins: the one place that decides who may come in, for all protocols."""

from engine.login.guard import Ban, Guard
from engine.login.oidc import Issuer
from engine.login.rates import Excess, Rates, Sender
from engine.login.service import Logins, Visitor
from engine.login.tokens import Token, Tokens
from engine.login.tried import tried

__all__ = ["Ban", "Excess", "Guard", "Issuer", "Logins", "Rates", "Sender", "Token", "Tokens", "Visitor", "tried"]
