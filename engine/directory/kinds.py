"""Which directory pipeline.toml names."""

from engine.config import Basis, Ldap, Postgresql
from engine.directory.embedded import Embedded
from engine.directory.interface import Directory


def open_directory(config: Basis) -> Directory:
    """The directory of this configuration, which must be closed. Invalid, Unavailable.

    No server is asked yet: one that is away now may be there when it is needed.
    """
    settings, local = config.directory, config.domains.local
    if settings is None:
        return Embedded.open(config.server.data / "directory", local)
    # Imported where they are used: most servers need none of them.
    if isinstance(settings, Ldap):
        from engine.directory.ldap import LdapDirectory

        return LdapDirectory(settings, local)
    if isinstance(settings, Postgresql):
        from engine.directory.postgresql import PostgresqlDirectory

        return PostgresqlDirectory(settings, local, secret=config.server.data / "salt")
    raise AssertionError(f"a directory of kind {type(settings).__name__}")
