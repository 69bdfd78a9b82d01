"""What operations are given here: who asks, as an operator; the stores of this process; and ways to other workers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, TypeVar

from msgspec import Meta

from engine.directory import Embedded, InUse, a_label
from engine.mailbox import Mailboxes
from engine.mailbox.commands import Answer, AnyCommand
from engine.operations.operator import Operator, without_roles
from engine.operations.sharing import Mail
from engine.web import means
from engine.web.api.cursors import cursor_of, position_of
from engine.web.api.operation import Asked, Call, Page
from engine.web.api.problems import unmeant

T = TypeVar("T")

SEGMENT = r"^[^\x00-\x1f/]+$"
"""What stands between two slashes of a path."""

Address = Annotated[str, Meta(min_length=3, max_length=320, pattern=SEGMENT, description="Such as ann@example.org.")]
Flag = Annotated[bool, Meta(description="Whether it is so.")]
Cursor = Annotated[str, Meta(max_length=1000, description="`next` of the page before.")]
Limit = Annotated[int, Meta(ge=1, le=1000, description="Items of one page.")]


class Paged(Asked, frozen=True):
    limit: Limit = 100
    cursor: Cursor = ""


def operator_of(call: Call) -> Operator:
    """Whoever asks. What they change is told in the log of this process. A token that sets passwords must not become
    an owner by that: accounts with a role are changed by commands, and in the pages by those who may."""
    domains = call.caller.domains
    own = None if domains is None else frozenset(map(a_label, domains))
    return Operator(call.caller.by, own, call.context.note, without_roles)


def embedded(call: Call) -> Embedded:
    """The directory, where it is ours to change. InUse."""
    directory = call.context.directory()
    if not isinstance(directory, Embedded):
        raise InUse("[directory] says that another server keeps them: look, and change them, there")
    return directory


def reading(call: Call) -> Callable[[], AbstractContextManager[Mailboxes]]:
    """The mailboxes of this process, which stay open."""
    return means.reading(call.context)


def change(call: Call) -> Callable[[AnyCommand], Answer]:
    """Has the owner of the mailboxes do something; for threads of ``call.blocking``."""
    return means.change(call.context)


def ask(call: Call) -> Callable[..., Any]:
    """Asks a worker; for threads of ``call.blocking``."""
    return means.ask(call.context)


def mail(call: Call) -> Mail:
    """The mailboxes, and who there is."""
    return means.mail(call.context)


def page(rows: Sequence[T], key: Callable[[T], str], asked: Paged) -> Page[T]:
    """One page of them, in the order of their keys, each of which stands there once. Problem."""
    try:
        after = position_of(asked.cursor).decode()
    except UnicodeDecodeError as error:
        raise unmeant("query.cursor", "this is no cursor of ours") from error
    behind = sorted((row for row in rows if not after or key(row) > after), key=key)
    items = behind[: asked.limit]
    return Page(items, cursor_of(key(items[-1]).encode()) if len(behind) > len(items) else "")
