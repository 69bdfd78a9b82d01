"""What somebody wants of the webmail: metadata of the mail server (RFC 5464), so it goes where the mail goes."""

import msgspec

from engine.mailbox import Mailboxes
from engine.mailbox.commands import Command, SetMetadata

ENTRY = "/private/vendor/postroad/webmail"

MOST = 20
"""Names that may have a signature of their own."""

SIGNATURE = 4000
"""Characters of a signature."""


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """All of it."""

    name: str = ""  # before the address, in From
    signature: str = ""  # plain text
    plain: bool = False  # write plain text
    signatures: dict[str, str] = {}  # by the name in which one sends; where there is none, the one above


_decode = msgspec.json.Decoder(Settings).decode


def settings(mailboxes: Mailboxes, account: int) -> Settings:
    """Those of an account. StorageError."""
    for _, value in mailboxes.metadata(account, 0, [ENTRY], me=account):
        try:
            return _decode(value)
        except msgspec.DecodeError:
            break
    return Settings()


def command(account: int, wanted: Settings) -> Command:
    """The change that keeps them."""
    return SetMetadata(account=account, mailbox=0, values=((ENTRY, msgspec.json.encode(wanted)),), me=account)
