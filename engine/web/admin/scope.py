"""Over whom somebody who administers has a say: accounts of their domains, but for those who may do more than they."""

from starlette.exceptions import HTTPException
from starlette.requests import Request

from engine.directory import ADMINISTRATOR, OWNER, Account, Embedded, Roles
from engine.observe.events import event
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


def note(request: Request, what: str, address: str) -> None:
    """Have it in the log who has changed what."""
    by, peer = own(request).account.address, context_of(request).peer(request)
    if "@" in address:
        event("web-account-changed", address=address, by=by, what=what, peer=peer)
    else:
        event("web-domain-changed", domain=address, by=by, what=what, peer=peer)
