"""The MTA's side of the milter protocol, version 6, with 2 to 5 negotiated down: octets in, events out. No socket.

A driver sends what ``outgoing`` gives, feeds what arrives to ``receive`` and asks ``next_event`` what it means::

    client = MilterClient()                    # asks for its terms at once
    Ready                                      # now `begin`
    client.begin(Transaction(...))
    Proceed                                    # `body(piece)` while `wants_body`, then `end()`
    Decision                                   # what is to become of the message; now `begin`, if `can_follow`

The protocol has no specification but libmilter of Sendmail: its `mfdef.h`, `mfapi.h` and the pages of its functions.
"""

from engine.protocols.milter.answers import (
    AddHeader,
    AddRecipient,
    Change,
    ChangeHeader,
    ChangeSender,
    Decision,
    DeleteRecipient,
    InsertHeader,
    Refusal,
    ReplaceBody,
)
from engine.protocols.milter.client import PROCEED, READY, MilterClient
from engine.protocols.milter.steps import Client, Macros, Path, Transaction
from engine.protocols.milter.wire import CHUNK, MilterError

__all__ = [
    "CHUNK",
    "PROCEED",
    "READY",
    "AddHeader",
    "AddRecipient",
    "Change",
    "ChangeHeader",
    "ChangeSender",
    "Client",
    "Decision",
    "DeleteRecipient",
    "InsertHeader",
    "Macros",
    "MilterClient",
    "MilterError",
    "Path",
    "Refusal",
    "ReplaceBody",
    "Transaction",
]
