"""Every command: how it is read, in which states it may be said, and with which capability it is offered."""

import enum
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct

from engine.protocols.imap import fetch, mailboxes, messages, notify, rights, search, session
from engine.protocols.imap.append import Kind
from engine.protocols.imap.cursor import Cursor


class State(enum.Enum):
    """RFC 9051 3."""

    NOT_AUTHENTICATED = "log in first"
    AUTHENTICATED = "select a mailbox first"
    SELECTED = "a mailbox is selected"
    LOGOUT = "the session is over"


Command: TypeAlias = (
    session.Capability | session.Noop | session.Logout | session.StartTls | session.Compress | session.Unauthenticate
    | session.Idle | session.Id | session.Enable | session.Login | session.Authenticate
    | mailboxes.Select | mailboxes.Create | mailboxes.Delete | mailboxes.Rename | mailboxes.Subscribe | mailboxes.List
    | mailboxes.Lsub | mailboxes.Namespace | mailboxes.Status | mailboxes.Close
    | messages.Store | messages.Copy | messages.Expunge
    | search.Search | search.Sort | search.Thread | fetch.Fetch | notify.Notify
    | rights.GetAcl | rights.SetAcl | rights.DeleteAcl | rights.ListRights | rights.MyRights
    | rights.GetQuota | rights.GetQuotaRoot | rights.SetQuota | rights.GetMetadata | rights.SetMetadata
)  # fmt: skip


class Row(Struct, frozen=True):
    """``read`` takes a cursor behind the command's name; ``append`` in its place: the content streams."""

    states: frozenset[State]
    read: Callable[[Cursor], Command] | None = None
    append: Kind | None = None
    offered: str = ""  # the capability that brings it; empty: always there
    after: State | None = None  # where OK leads to


_BEFORE: Final = frozenset({State.NOT_AUTHENTICATED})
_AUTHENTICATED: Final = frozenset({State.AUTHENTICATED})
_SELECTED: Final = frozenset({State.SELECTED})
_LATER: Final = _AUTHENTICATED | _SELECTED
_ANY: Final = _BEFORE | _LATER

COMMANDS: Mapping[bytes, Row] = {
    b"CAPABILITY": Row(_ANY, session.capability),
    b"NOOP": Row(_ANY, session.noop),
    b"LOGOUT": Row(_ANY, session.logout),
    b"ID": Row(_ANY, session.identify, offered="ID"),
    b"STARTTLS": Row(_BEFORE, session.start_tls),
    b"AUTHENTICATE": Row(_BEFORE, session.authenticate),
    b"LOGIN": Row(_BEFORE, session.login),
    b"ENABLE": Row(_AUTHENTICATED, session.enable, offered="ENABLE"),
    b"UNAUTHENTICATE": Row(_LATER, session.unauthenticate, offered="UNAUTHENTICATE", after=State.NOT_AUTHENTICATED),
    b"COMPRESS": Row(_LATER, session.compress, offered="COMPRESS=DEFLATE"),
    b"IDLE": Row(_LATER, session.idle, offered="IDLE"),
    b"NOTIFY": Row(_LATER, notify.notify, offered="NOTIFY"),
    b"SELECT": Row(_LATER, partial(mailboxes.select, read_only=False), after=State.SELECTED),
    b"EXAMINE": Row(_LATER, partial(mailboxes.select, read_only=True), after=State.SELECTED),
    b"CREATE": Row(_LATER, mailboxes.create),
    b"DELETE": Row(_LATER, mailboxes.delete),
    b"RENAME": Row(_LATER, mailboxes.rename),
    b"SUBSCRIBE": Row(_LATER, partial(mailboxes.subscribe, subscribed=True)),
    b"UNSUBSCRIBE": Row(_LATER, partial(mailboxes.subscribe, subscribed=False)),
    b"LIST": Row(_LATER, mailboxes.list_),
    b"LSUB": Row(_LATER, mailboxes.lsub),
    b"NAMESPACE": Row(_LATER, mailboxes.namespace, offered="NAMESPACE"),
    b"STATUS": Row(_LATER, mailboxes.status),
    b"APPEND": Row(_LATER, append=Kind.APPEND),
    b"GETQUOTA": Row(_LATER, rights.get_quota, offered="QUOTA"),
    b"GETQUOTAROOT": Row(_LATER, rights.get_quota_root, offered="QUOTA"),
    b"SETQUOTA": Row(_LATER, rights.set_quota, offered="QUOTASET"),
    b"GETACL": Row(_LATER, rights.get_acl, offered="ACL"),
    b"SETACL": Row(_LATER, rights.set_acl, offered="ACL"),
    b"DELETEACL": Row(_LATER, rights.delete_acl, offered="ACL"),
    b"LISTRIGHTS": Row(_LATER, rights.list_rights, offered="ACL"),
    b"MYRIGHTS": Row(_LATER, rights.my_rights, offered="ACL"),
    b"GETMETADATA": Row(_LATER, rights.get_metadata, offered="METADATA"),
    b"SETMETADATA": Row(_LATER, rights.set_metadata, offered="METADATA"),
    b"CHECK": Row(_SELECTED, session.noop),  # RFC 3501 6.4.1
    b"CLOSE": Row(_SELECTED, partial(mailboxes.close, expunge=True), after=State.AUTHENTICATED),
    b"UNSELECT": Row(_SELECTED, partial(mailboxes.close, expunge=False), offered="UNSELECT", after=State.AUTHENTICATED),
    b"EXPUNGE": Row(_SELECTED, messages.expunge),
    b"UID EXPUNGE": Row(_SELECTED, messages.uid_expunge, offered="UIDPLUS"),
    b"SEARCH": Row(_SELECTED, partial(search.search, uid=False)),
    b"UID SEARCH": Row(_SELECTED, partial(search.search, uid=True)),
    b"SORT": Row(_SELECTED, partial(search.sort, uid=False), offered="SORT"),
    b"UID SORT": Row(_SELECTED, partial(search.sort, uid=True), offered="SORT"),
    b"THREAD": Row(_SELECTED, partial(search.thread, uid=False), offered="THREAD=REFERENCES"),
    b"UID THREAD": Row(_SELECTED, partial(search.thread, uid=True), offered="THREAD=REFERENCES"),
    b"FETCH": Row(_SELECTED, partial(fetch.fetch, uid=False)),
    b"UID FETCH": Row(_SELECTED, partial(fetch.fetch, uid=True)),
    b"STORE": Row(_SELECTED, partial(messages.store, uid=False)),
    b"UID STORE": Row(_SELECTED, partial(messages.store, uid=True)),
    b"COPY": Row(_SELECTED, partial(messages.copy, uid=False, move=False)),
    b"UID COPY": Row(_SELECTED, partial(messages.copy, uid=True, move=False)),
    b"MOVE": Row(_SELECTED, partial(messages.copy, uid=False, move=True), offered="MOVE"),
    b"UID MOVE": Row(_SELECTED, partial(messages.copy, uid=True, move=True), offered="MOVE"),
    b"REPLACE": Row(_SELECTED, append=Kind.REPLACE, offered="REPLACE"),
    b"UID REPLACE": Row(_SELECTED, append=Kind.UID_REPLACE, offered="REPLACE"),
}

OFFERED: Final = (
    "IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ENABLE", "ID", "IDLE", "NAMESPACE", "UNSELECT", "UIDPLUS", "MOVE",
    "CHILDREN", "LIST-EXTENDED", "LIST-STATUS", "LIST-MYRIGHTS", "LIST-METADATA", "SPECIAL-USE", "CREATE-SPECIAL-USE",
    "CONDSTORE", "QRESYNC", "ESEARCH", "SEARCHRES", "WITHIN", "SORT", "SORT=DISPLAY", "ESORT", "THREAD=ORDEREDSUBJECT",
    "THREAD=REFERENCES", "BINARY", "CATENATE", "MULTIAPPEND", "REPLACE", "UTF8=ACCEPT", "OBJECTID", "PREVIEW",
    "SAVEDATE", "STATUS=SIZE", "PARTIAL", "UIDONLY", "INPROGRESS", "NOTIFY", "METADATA", "ACL", "RIGHTS=kxte", "QUOTA",
    "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "QUOTASET", "APPENDLIMIT", "COMPRESS=DEFLATE", "UNAUTHENTICATE",
)  # fmt: skip
"""All that this package knows; a driver offers what its store can do, and adds MESSAGELIMIT=n and the like."""

BEFORE_LOGIN: Final = frozenset({"IMAP4rev1", "IMAP4rev2", "LITERAL+", "SASL-IR", "ENABLE", "ID"})
"""What is named before a login; STARTTLS, LOGINDISABLED and AUTH= go with them."""
