"""The directory: which domains are ours, who has an account, what an alias stands for, and who may log in."""

from engine.directory.addresses import a_label, is_bare_postmaster, split, valid_address, valid_domain
from engine.directory.embedded import Embedded
from engine.directory.entries import (
    ACCOUNTS,
    ANYBODY,
    FEW,
    MEMBERS,
    POSTING,
    SERVICES,
    Account,
    Alias,
    AppPassword,
    Domain,
    Group,
    Login,
)
from engine.directory.errors import AlreadyThere, DirectoryError, InUse, Invalid, NotFound, Unavailable
from engine.directory.interface import Directory, asked
from engine.directory.kinds import open_directory
from engine.directory.limits import UNSAID, Allowed, DomainLimits, Layers, Limit, Said, allowed
from engine.directory.memory import Memory
from engine.directory.passwords import SHORT
from engine.directory.reaching import reached
from engine.directory.roles import ADMINISTRATOR, AUDITOR, HELPDESK, OWNER, ROLES, USER, Roles
from engine.directory.senders import is_member, may_post, may_send_as, may_send_on_behalf, members

__all__ = [
    "ACCOUNTS",
    "ADMINISTRATOR",
    "ANYBODY",
    "AUDITOR",
    "FEW",
    "HELPDESK",
    "MEMBERS",
    "OWNER",
    "POSTING",
    "ROLES",
    "SERVICES",
    "SHORT",
    "UNSAID",
    "USER",
    "Account",
    "Alias",
    "Allowed",
    "AlreadyThere",
    "AppPassword",
    "Directory",
    "DirectoryError",
    "Domain",
    "DomainLimits",
    "Embedded",
    "Group",
    "InUse",
    "Invalid",
    "Layers",
    "Limit",
    "Login",
    "Memory",
    "NotFound",
    "Roles",
    "Said",
    "Unavailable",
    "a_label",
    "allowed",
    "asked",
    "is_bare_postmaster",
    "is_member",
    "may_post",
    "may_send_as",
    "may_send_on_behalf",
    "members",
    "open_directory",
    "reached",
    "split",
    "valid_address",
    "valid_domain",
]
