"""What the kinds of worker have besides legs: shards, mailboxes, readers' servers, and the services for stages."""

from engine.config import Config
from engine.lanes import MAIL
from engine.runtime.canary import InForce
from engine.runtime.places import CERTIFICATES, INDEX, MAILBOXES, READING
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
    return _ROLES.get(here.process.place, Role)(config, here, now)
