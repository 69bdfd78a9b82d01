"""Logins: the one place that decides who may come in, for all protocols."""

from engine.login.guard import Ban, Guard
from engine.login.oidc import Issuer
from engine.login.rates import Excess, Rates, Sender
from engine.login.relying import Begun, Denied, Left, Proof, Refused, RelyingParty, Unverified
from engine.login.service import Logins, Visitor
from engine.login.tokens import Token, Tokens
from engine.login.tried import tried

__all__ = [
    "Ban",
    "Begun",
    "Denied",
    "Excess",
    "Guard",
    "Issuer",
    "Left",
    "Logins",
    "Proof",
    "Rates",
    "Refused",
    "RelyingParty",
    "Sender",
    "Token",
    "Tokens",
    "Unverified",
    "Visitor",
    "tried",
]
