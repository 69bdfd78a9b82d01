"""Mail from another server: its mailboxes are read by IMAP, and what has not come yet goes into an account of ours."""

from engine.migration.folders import Choice
from engine.migration.pace import Pace
from engine.migration.progress import Left, Progress, State
from engine.migration.record import Record, key_of
from engine.migration.run import LARGEST, Run, Seen, Wishes
from engine.migration.server import Login, Security, Server, server_at
from engine.migration.talk import Denied, Lost, SignInRefused

__all__ = [
    "LARGEST",
    "Choice",
    "Denied",
    "Left",
    "Login",
    "Lost",
    "Pace",
    "Progress",
    "Record",
    "Run",
    "Security",
    "Seen",
    "Server",
    "SignInRefused",
    "State",
    "Wishes",
    "key_of",
    "server_at",
]
