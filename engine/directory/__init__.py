"""The directory: which domains are ours, who has an account, what an alias stands for, and who may log in."""

from engine.directory.addresses import a_label, is_bare_postmaster, split, valid_address, valid_domain
from engine.directory.entries import FEW, SERVICES, Account, Alias, AppPassword, Domain, Group, Login
from engine.directory.errors import AlreadyThere, DirectoryError, InUse, Invalid, NotFound, Unavailable
from engine.directory.interface import Directory, asked
from engine.directory.kinds import open_directory
from engine.directory.memory import Memory
from engine.directory.passwords import SHORT
from engine.directory.senders import is_member, may_send_as
from engine.directory.store import Embedded

__all__ = [
    "FEW",
    "SERVICES",
    "SHORT",
    "Account",
    "Alias",
    "AlreadyThere",
    "AppPassword",
    "Directory",
    "DirectoryError",
    "Domain",
    "Embedded",
    "Group",
    "InUse",
    "Invalid",
    "Login",
    "Memory",
    "NotFound",
    "Unavailable",
    "a_label",
    "asked",
    "is_bare_postmaster",
    "is_member",
    "may_send_as",
    "open_directory",
    "split",
    "valid_address",
    "valid_domain",
]
