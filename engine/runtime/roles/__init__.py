"""What the kinds of worker have besides legs: shards, mailboxes, readers' servers, and the services for stages."""

import importlib

from engine.config import Config
from engine.lanes import MAIL
from engine.runtime.canary import InForce
from engine.runtime.places import CERTIFICATES, INDEX, MAILBOXES, READING, WEB
from engine.runtime.revision import Here
from engine.runtime.roles.certificates import CertificatesRole
from engine.runtime.roles.index import IndexRole
from engine.runtime.roles.mail import MailRole
from engine.runtime.roles.mailboxes import MailboxesRole
from engine.runtime.roles.readers import ReadersRole
from engine.runtime.roles.role import Role

_ROLES: dict[str, type[Role]] = {
    MAIL: MailRole,
    MAILBOXES: MailboxesRole,
    READING: ReadersRole,
    INDEX: IndexRole,
    CERTIFICATES: CertificatesRole,
}


def role_of(config: Config, here: Here, now: InForce) -> Role:
    """The role that belongs to the process's place."""
    if here.process.place == WEB:  # it stands above us, and nobody else needs what it imports
        web: type[Role] = importlib.import_module("engine.web.role").WebRole
        return web(config, here, now)
    return _ROLES.get(here.process.place, Role)(config, here, now)
