"""Over whom somebody who administers has a say: accounts of their domains, but for those who may do more than they."""

from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request

from engine.directory import ADMINISTRATOR, OWNER, Account, Embedded, Roles
from engine.operations.operator import Operator
from engine.operations.reach import Reach
from engine.web.context import context_of
from engine.web.pages.account import embedded, own


def outranks(roles: Roles, account: Account) -> bool:
    """Whether the account can do nothing that these roles cannot: who gives it a password can be it."""
    if OWNER in roles.given:
        return True
    given = [one.partition("@") for one in account.roles]
    return all(domain and roles.administers(domain) for _, _, domain in given)


def may_give(roles: Roles, role: str) -> bool:
    """Whether it may give that role, or take it."""
    domain = role.partition("@")[2]
    return OWNER in roles.given or bool(domain and roles.administers(domain))


def shown_domains(request: Request) -> list[str]:
    """The names of the domains whose accounts whoever asks may see."""
    roles = own(request).roles
    return [one.name for one in embedded(request).domains() if roles.helps(one.name)]


def known(request: Request, address: str) -> tuple[Embedded, Account]:
    """An account that whoever asks may see, and the directory. To others it is not there. HTTPException."""
    directory = embedded(request)
    account = directory.account(address)
    if account is None or not own(request).roles.helps(account.domain):
        raise HTTPException(404)
    return directory, account


def changeable(request: Request, address: str, *, administers: bool = True) -> tuple[Embedded, Account]:
    """The same of one whom they may change. ``administers``: which takes more than the helpdesk may."""
    directory, account = known(request, address)
    roles = own(request).roles
    if not outranks(roles, account) or (administers and not roles.administers(account.domain)):
        raise HTTPException(403)
    return directory, account


def administered(request: Request, domain: str) -> Embedded:
    """The directory, if whoever asks administers the domain. HTTPException."""
    if not own(request).roles.administers(domain):
        raise HTTPException(403)
    return embedded(request)


def reach(request: Request) -> Reach:
    """Whose mail whoever asks may know of, and act on."""
    roles, directory = own(request).roles, context_of(request).directory()
    return Reach(None if OWNER in roles.given else roles.domains(ADMINISTRATOR), directory.is_local)


def operator(request: Request, role: str = ADMINISTRATOR) -> Operator:
    """Whoever asks, for operations: they may touch the domains for which they have the role, and no account that may
    do more than they. What they change is kept, with the address that they come from."""
    session, context = own(request), context_of(request)
    roles = session.roles
    domains = None if OWNER in roles.given else roles.domains(role)
    note = partial(context.note, peer=context.peer(request) or None)
    return Operator(session.account.address, domains, note, partial(outranks, roles))
