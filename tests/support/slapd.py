"""Debian's slapd with a small organisation in it, private to a test."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import Certificates, path_of, run
from tests.support.server import PASSWORD, Settings, free_port, program, until

SECRET = "of the service"

_CONFIGURATION = """\
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/misc.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {tls.certificate}
TLSCertificateKeyFile {tls.key}
database mdb
maxsize 10485760
suffix "dc=example,dc=org"
rootdn "cn=postroad,dc=example,dc=org"
rootpw "{secret}"
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by anonymous none by * read
"""

_ENTRIES = """\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people
{people}
dn: cn=team,dc=example,dc=org
objectClass: groupOfNames
objectClass: extensibleObject
cn: team
mail: team@example.org
member: uid=ann,ou=people,dc=example,dc=org
member: uid=bob,ou=people,dc=example,dc=org
member: uid=gone,ou=people,dc=example,dc=org
member: cn=chiefs,dc=example,dc=org

dn: cn=chiefs,dc=example,dc=org
objectClass: groupOfNames
objectClass: extensibleObject
cn: chiefs
mail: chiefs@example.org
mail: @second.test
member: uid=ann,ou=people,dc=example,dc=org

dn: cn=sales,dc=example,dc=org
objectClass: nisMailAlias
objectClass: extensibleObject
cn: sales
mail: sales@example.org
rfc822MailMember: bob@example.org
rfc822MailMember: Far@Elsewhere.test
"""

_PERSON = """
dn: uid={uid},ou=people,dc=example,dc=org
objectClass: inetOrgPerson
objectClass: extensibleObject
uid: {uid}
cn: {uid}
sn: {uid}
userPassword: {password}
{addresses}
"""

PEOPLE = {
    "ann": ("mail: Ann@Example.org", "mailLocalAddress: a.nn@example.org", "mailLocalAddress: x@elsewhere.test",
            "description: boss@example.org", "description: @partner.test", "roomNumber: 5G", "departmentNumber: 1000"),
    "bob": ("mail: bob@example.org", "mail: robert@example.org"),
    "one": ("mail: twins@example.org",),
    "two": ("mail: twins@example.org",),
    "odd": ("mail: o*dd@example.org",),
}  # fmt: skip


class Slapd:
    """A server that can be stopped, held up and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir(parents=True)
        self.tls = Certificates(folder / "tls", "127.0.0.1")
        self.ports = {"ldap": free_port(), "ldaps": free_port()}
        self._configuration = folder / "slapd.conf"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder, tls=self.tls, secret=SECRET))
        self._secret = folder / "secret"
        self._secret.write_text(SECRET + "\n")
        entries = folder / "entries.ldif"
        people = [
            _PERSON.format(uid=uid, password=PASSWORD, addresses="\n".join(lines)) for uid, lines in PEOPLE.items()
        ]
        entries.write_text(_ENTRIES.format(people="".join(people)))
        run("slapadd", "-f", str(self._configuration), "-l", str(entries))
        self._running = contextlib.ExitStack()
        self._popen: subprocess.Popen[bytes]

    def settings(self, scheme: str = "ldap", **changes: object) -> Settings:
        """The table ``[directory.ldap]``."""
        return {
            "servers": [f"{scheme}://127.0.0.1:{self.ports[scheme]}"],
            "base": "dc=example,dc=org",
            "bind_dn": "cn=postroad,dc=example,dc=org",
            "bind_password_file": str(self._secret),
            "trust": str(self.tls.authority),
            "account_filter": "(&(objectClass=inetOrgPerson)(|(mail={address})(mailLocalAddress={address})))",
            "send_as_attribute": "description",
            "group_filter": "(&(objectClass=groupOfNames)(mail={address}))",
            "postmaster": "ann@example.org",
            "timeout": "30s",
            **changes,
        }

    def start(self) -> None:
        urls = " ".join(f"{scheme}://127.0.0.1:{port}" for scheme, port in self.ports.items())
        command = [path_of("slapd"), "-f", str(self._configuration), "-h", urls, "-d", "0"]
        self._popen = self._running.enter_context(program(command, self.ports["ldaps"]))

    def stop(self) -> None:
        self._running.close()

    @contextlib.contextmanager
    def held_up(self) -> Iterator[None]:
        """It takes connections meanwhile, and says nothing."""
        os.kill(self._popen.pid, signal.SIGSTOP)
        try:
            until(self._stands_still, "slapd to stand still")
            yield
        finally:
            os.kill(self._popen.pid, signal.SIGCONT)

    def _stands_still(self) -> bool:
        threads = Path(f"/proc/{self._popen.pid}/task").glob("*/stat")
        return all(one.read_text().rpartition(")")[2].split()[0] == "T" for one in threads)


@contextlib.contextmanager
def slapd(folder: Path) -> Iterator[Slapd]:
    """Run a server meanwhile."""
    found = Slapd(folder)
    found.start()
    try:
        yield found
    finally:
        found.stop()
