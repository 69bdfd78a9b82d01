"""What belongs to a mailbox besides its messages: rights (RFC 4314), quotas (RFC 9208), metadata (RFC 5464)."""

from collections.abc import Iterable, Sequence

from engine.directory import Account, asked
from engine.imap.place import Place
from engine.imap.reply import Bad, Done, No
from engine.imap.session import Session, refused
from engine.mailbox.commands import DeleteAcl, SetAcl, SetMetadata
from engine.mailbox.layout import PUBLIC
from engine.mailbox.metadata import PRIVATE
from engine.mailbox.rights import RIGHTS, identifier, plain, shown
from engine.protocols.imap import codes, responses, rights

KIB = 1024
"""Octets in a unit of STORAGE (RFC 9208 5.1)."""


def _place(session: Session, name: str, right: str) -> Place:
    """The mailbox, if somebody has the right to it. Who may not even look it up does not learn that it is there."""
    place = session.find(name)
    if right not in place.rights:
        hidden = "l" not in place.rights
        raise No("There is no such mailbox", b"NONEXISTENT") if hidden else No("You may not do that", b"NOPERM")
    return place


def _identifier(text: str) -> str:
    try:
        return identifier(text)
    except ValueError as error:
        raise Bad(str(error)) from error


async def get_acl(session: Session, command: rights.GetAcl) -> Done:
    place = _place(session, command.mailbox, "a")
    entries = [(place.owner, RIGHTS)] if place.owner else []
    entries += session.service.access.acl(place.account, place.mailbox)
    told = ((name, shown(held)) for name, held in entries)
    session.imap.send(responses.acl(command.mailbox, told, utf8=session.imap.utf8))
    return Done("That is all")


async def set_acl(session: Session, command: rights.SetAcl) -> Done:
    place = _place(session, command.mailbox, "a")
    who = _identifier(command.identifier)
    if who.lstrip("-") == place.owner:
        raise No("The owner of a mailbox has all rights to it", b"CANNOT")
    directory = session.service.directory
    named = await asked(directory, directory.account, who.lstrip("-")) if who[:1] != "$" else None
    own = place.account == session.account.id
    answer = await session.change(
        SetAcl(
            account=place.account, mailbox=place.mailbox, identifier=who, rights=plain(command.rights),
            operation=command.operation, grantee=named.id if named is not None else 0,
            owner=session.account.address if own else "",
        )
    )  # fmt: skip
    if answer.problem is not None:
        raise refused(answer.problem)
    return Done("Granted")


async def delete_acl(session: Session, command: rights.DeleteAcl) -> Done:
    place = _place(session, command.mailbox, "a")
    who = _identifier(command.identifier)
    answer = await session.change(DeleteAcl(account=place.account, mailbox=place.mailbox, identifier=who))
    if answer.problem is not None:
        raise refused(answer.problem)
    return Done("Taken away")


async def list_rights(session: Session, command: rights.ListRights) -> Done:
    """Each right can be given alone; the owner has all."""
    place = _place(session, command.mailbox, "a")
    is_owner = _identifier(command.identifier) == place.owner
    required, optional = (RIGHTS, "") if is_owner else ("", RIGHTS)
    utf8 = session.imap.utf8
    session.imap.send(responses.list_rights(command.mailbox, command.identifier, required, optional, utf8=utf8))
    return Done("That is all")


async def my_rights(session: Session, command: rights.MyRights) -> Done:
    place = session.find(command.mailbox)
    session.imap.send(responses.my_rights(command.mailbox, shown(place.rights), utf8=session.imap.utf8))
    return Done("That is all")


async def get_quota(session: Session, command: rights.GetQuota) -> Done:
    resources = await _resources(session, session.account) if command.root == session.account.address else []
    if not resources:
        raise No("There is no such quota root", b"NONEXISTENT")
    session.imap.send(responses.quota(command.root, resources, utf8=session.imap.utf8))
    return Done("That is all")


async def get_quota_root(session: Session, command: rights.GetQuotaRoot) -> Done:
    """A mailbox counts for the quota of its owner, whose address is the name of the quota root.

    Who has no limit has no root: a QUOTA response names at least one resource (RFC 9208 6).
    """
    place, utf8 = _place(session, command.mailbox, "r"), session.imap.utf8
    owner = await session.owner(place)
    resources = await _resources(session, owner) if owner is not None else []
    roots = [owner.address] if owner is not None and resources else []
    session.imap.send(responses.quota_root(command.mailbox, roots, utf8=utf8))
    session.imap.send(*(responses.quota(root, resources, utf8=utf8) for root in roots))
    return Done("That is all")


async def _resources(session: Session, owner: Account) -> list[tuple[str, int, int]]:
    """What is limited, how much of it is used, and the limit."""
    usage, quota = await session.service.quotas.of(owner)
    resources = [("STORAGE", -(-usage.size // KIB), quota.octets // KIB)] if quota.octets else []
    resources += [("MESSAGE", usage.messages, quota.messages)] if quota.messages else []
    return resources


async def set_quota(_: Session, command: rights.SetQuota) -> Done:
    raise No(f"The administrator sets quotas, also of {command.root or 'this account'}", b"NOPERM")


async def get_metadata(session: Session, command: rights.GetMetadata) -> Done:
    """An entry that is not there is left out; so is one that is longer than the client wants (RFC 5464 4.2)."""
    if command.mailbox:
        place = _place(session, command.mailbox, "r")
        account, mailbox = place.account, place.mailbox
    else:
        account, mailbox = session.account.id, 0
    access = session.service.access
    found = await session.read(access.metadata, session.me, account, mailbox, command.entries, command.depth)
    most = command.most if command.most is not None else max((len(value) for _, value in found), default=0)
    told = [(entry, value) for entry, value in found if len(value) <= most]
    if told:
        session.imap.send(responses.metadata(command.mailbox, told, utf8=session.imap.utf8))
    longest = max((len(value) for _, value in found if len(value) > most), default=0)
    return Done("That is all", codes.metadata_longer(longest) if longest else b"")


async def set_metadata(session: Session, command: rights.SetMetadata) -> Done:
    private = [(entry, value) for entry, value in command.values if entry.startswith(PRIVATE)]
    shared = [(entry, value) for entry, value in command.values if not entry.startswith(PRIVATE)]
    if not command.mailbox:
        if shared and not session.account.admin:
            raise No("Administrators alone set what all share", b"NOPERM")
        await _set(session, session.account.id, 0, private)
        await _set(session, PUBLIC, 0, shared)
        return Done("Set")
    place = _place(session, command.mailbox, "r")
    if shared:
        session.demand(place, "w")
    await _set(session, place.account, place.mailbox, command.values)
    return Done("Set")


async def _set(session: Session, account: int, mailbox: int, values: Sequence[tuple[str, bytes | None]]) -> None:
    if not values:
        return
    command = SetMetadata(account=account, mailbox=mailbox, values=tuple(values), me=session.account.id)
    answer = await session.change(command)
    if answer.problem is not None:
        raise refused(answer.problem)


async def tell_metadata(session: Session, name: str, place: Place, entries: Iterable[str]) -> None:
    """The METADATA response that LIST was asked for (RFC 9590)."""
    found: dict[str, bytes | None] = dict.fromkeys(entries)
    access = session.service.access
    found.update(await session.read(access.metadata, session.me, place.account, place.mailbox, list(found)))
    session.imap.send(responses.metadata(name, found.items(), utf8=session.imap.utf8))
