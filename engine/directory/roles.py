"""What an account may do beyond its own mail: for all, or for the domains that are named.

A role is written as one word, ``owner`` or ``auditor``, or as one and a domain: ``administrator@example.org``.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.directory.addresses import a_label, valid_domain
from engine.directory.errors import Invalid

OWNER, ADMINISTRATOR, AUDITOR, HELPDESK, USER = "owner", "administrator", "auditor", "helpdesk", "user"

ROLES = (OWNER, ADMINISTRATOR, AUDITOR, HELPDESK)
"""What can be given; everybody is a user."""

OF_DOMAINS = (ADMINISTRATOR, HELPDESK)
"""Those that are given for a domain each."""

MOST_ROLES = 100
"""Of one account: the directory remembers them with it."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What one account may do. An owner administers every domain; an administrator does what the helpdesk does.

    Nobody reads the mail of others by being an owner: that takes an auditor.
    """

    given: tuple[str, ...] = ()

    def has(self, role: str) -> bool:
        """Whether it is so for any domain."""
        names = {one.partition("@")[0] for one in self.given}
        return role == USER or role in names or bool(_ABOVE.get(role, frozenset()) & names)

    def domains(self, role: str) -> frozenset[str]:
        """The domains for which it is so, but for those of an owner, who has all."""
        wanted = {role, *_ABOVE.get(role, ())}
        pairs = (one.partition("@") for one in self.given)
        return frozenset(domain for name, _, domain in pairs if name in wanted and domain)

    def covers(self, role: str, domain: str) -> bool:
        """Whether it is so for this domain."""
        return OWNER in self.given or a_label(domain) in self.domains(role)

    def administers(self, domain: str) -> bool:
        return self.covers(ADMINISTRATOR, domain)

    def helps(self, domain: str) -> bool:
        """Whether it may look at the domain's accounts, and give them new passwords."""
        return self.covers(HELPDESK, domain)


_ABOVE: dict[str, frozenset[str]] = {
    ADMINISTRATOR: frozenset({OWNER}),
    HELPDESK: frozenset({OWNER, ADMINISTRATOR}),
}


def valid_role(text: str) -> str:
    """A role as it is kept. Invalid."""
    role, at, domain = text.strip().lower().partition("@")
    if role not in ROLES:
        raise Invalid(f"{text!r} is no role; there are {', '.join(ROLES)}")
    if role in OF_DOMAINS:
        if not at:
            raise Invalid(f"say for which domain: {role}@example.org")
        return f"{role}@{valid_domain(domain)}"
    if at:
        raise Invalid(f"{role} is for the whole server; write it without a domain")
    return role


def changed_roles(before: Iterable[str], added: Iterable[str], removed: Iterable[str]) -> tuple[str, ...]:
    """Those that an account has then. Invalid."""
    gone = set(removed)
    after = tuple(role for role in dict.fromkeys([*before, *added]) if role not in gone)
    if len(after) > MOST_ROLES:
        raise Invalid(f"an account has {MOST_ROLES} roles at most")
    return after
