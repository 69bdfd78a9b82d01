"""Leaving a list: header fields of bulk mail (RFC 2369, RFC 2919, RFC 8058), signed links, and what a click does."""

from engine.protocols.sealed import Expired, Forged
from engine.unsubscribe.fields import ONE_CLICK, Offer, offer, uris
from engine.unsubscribe.links import Link
from engine.unsubscribe.one_click import Answer, Clicks, Request

__all__ = [
    "ONE_CLICK",
    "Answer",
    "Clicks",
    "Expired",
    "Forged",
    "Link",
    "Offer",
    "Request",
    "offer",
    "uris",
]
