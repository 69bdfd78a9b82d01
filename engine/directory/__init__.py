"""The directory: which domains are ours, who has an account, what an alias stands for, and who may log in."""

from engine.directory.addresses import a_label, is_bare_postmaster, split, valid_address, valid_domain
from engine.directory.errors import AlreadyThere, DirectoryError, InUse, Invalid, NotFound, Unavailable
from engine.directory.memory import Memory
from engine.directory.passwords import SHORT
from engine.directory.store import FEW, SERVICES, Account, Alias, AppPassword, Directory, Domain, Login

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
    "InUse",
    "Invalid",
    "Login",
    "Memory",
    "NotFound",
    "Unavailable",
    "a_label",
    "is_bare_postmaster",
    "split",
    "valid_address",
    "valid_domain",
]
