"""What belongs to a mailbox besides its messages: rights (RFC 4314), quotas (RFC 9208), metadata (RFC 5464)."""

from collections.abc import Sequence

from engine.imap.place import Place
from engine.imap.reply import Done, No
from engine.imap.session import Session
from engine.protocols.imap import responses, rights

ROOT = ""
"""The name of the one quota root of an account."""


async def get_acl(session: Session, command: rights.GetAcl) -> Done:
    raise No("Not here", b"CANNOT")


async def set_acl(session: Session, command: rights.SetAcl) -> Done:
    raise No("Not here", b"CANNOT")


async def delete_acl(session: Session, command: rights.DeleteAcl) -> Done:
    raise No("Not here", b"CANNOT")


async def list_rights(session: Session, command: rights.ListRights) -> Done:
    raise No("Not here", b"CANNOT")


async def my_rights(session: Session, command: rights.MyRights) -> Done:
    place = session.look(command.mailbox)
    if place is None:
        raise No("There is no such mailbox", b"NONEXISTENT")
    session.imap.send(responses.my_rights(command.mailbox, place.rights, utf8=session.imap.utf8))
    return Done("That is all")


async def get_quota(session: Session, command: rights.GetQuota) -> Done:
    if command.root != ROOT:
        raise No("There is no such quota root", b"NONEXISTENT")
    session.imap.send(responses.quota(ROOT, ()))
    return Done("That is all")


async def get_quota_root(session: Session, command: rights.GetQuotaRoot) -> Done:
    session.imap.send(responses.quota_root(command.mailbox, [ROOT], utf8=session.imap.utf8))
    session.imap.send(responses.quota(ROOT, ()))
    return Done("That is all")


async def set_quota(session: Session, command: rights.SetQuota) -> Done:
    raise No("The administrator sets quotas", b"NOPERM")


async def get_metadata(session: Session, command: rights.GetMetadata) -> Done:
    raise No("Not here", b"CANNOT")


async def set_metadata(session: Session, command: rights.SetMetadata) -> Done:
    raise No("Not here", b"CANNOT")


async def tell_metadata(session: Session, name: str, place: Place, entries: Sequence[str]) -> None:
    pass
