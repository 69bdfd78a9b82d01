"""Which function does which command."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from engine.imap import belongings, changes, fetching, folders, listing, notifying, searching
from engine.imap.reply import Done
from engine.imap.session import Session
from engine.protocols.imap import fetch, mailboxes, messages, notify, responses, rights, search, session
from engine.protocols.imap.events import Request
from engine.protocols.imap.server import ImapServer
from engine.protocols.imap.table import Command
from engine.protocols.imap.view import May

Function = Callable[[Session, Any], Awaitable[Done]]

FUNCTIONS: Final[dict[type[Command], Function]] = {
    mailboxes.Select: folders.select,
    mailboxes.Close: folders.close,
    mailboxes.Create: folders.create,
    mailboxes.Delete: folders.delete,
    mailboxes.Rename: folders.rename,
    mailboxes.Subscribe: folders.subscribe,
    mailboxes.Status: folders.status,
    mailboxes.List: listing.list_,
    mailboxes.Lsub: listing.lsub,
    mailboxes.Namespace: listing.namespace,
    messages.Store: changes.store,
    messages.Copy: changes.copy,
    messages.Expunge: changes.expunge,
    fetch.Fetch: fetching.fetch,
    notify.Notify: notifying.notify,
    rights.GetAcl: belongings.get_acl,
    rights.SetAcl: belongings.set_acl,
    rights.DeleteAcl: belongings.delete_acl,
    rights.ListRights: belongings.list_rights,
    rights.MyRights: belongings.my_rights,
    rights.GetQuota: belongings.get_quota,
    rights.GetQuotaRoot: belongings.get_quota_root,
    rights.SetQuota: belongings.set_quota,
    rights.GetMetadata: belongings.get_metadata,
    rights.SetMetadata: belongings.set_metadata,
}

SEARCHES: Final[dict[type[Command], Callable[[Session, Any, bytes], Awaitable[Done]]]] = {
    search.Search: searching.search,
    search.Sort: searching.sort,
    search.Thread: searching.thread,
}
"""These name the command's tag in their results."""

IDENTITY: Final = (("name", "Postroad"), ("vendor", "Postroad"))


def may_tell(command: Command) -> May:
    """Which news are told before its end: amid commands that name messages by number, none may change its own."""
    match command:  # RFC 9051 7.5.1, RFC 5256 3
        case (
            fetch.Fetch(uid=False)
            | messages.Store(uid=False)
            | search.Search(uid=False)
            | search.Sort(uid=False)
            | search.Thread(uid=False)
        ):
            return May.NO_EXPUNGE
        case _:
            return May.ALL


async def obey(visitor: Session | None, imap: ImapServer, request: Request) -> Done:
    """Do it. No and Bad are its other ends."""
    command = request.command
    match command:
        case session.Id():
            imap.send(responses.identity(IDENTITY))
            return Done("Who we are")
        case session.Noop():
            return Done("Nothing done")
        case session.Unauthenticate():
            return Done("Forgotten")
    assert visitor is not None, "the protocol lets nothing else through before a login"
    if (find := SEARCHES.get(type(command))) is not None:
        return await find(visitor, command, request.tag)
    return await FUNCTIONS[type(command)](visitor, command)
