"""Debian's pebble, an ACME authority for tests, with the name server that it asks."""

import contextlib
import json
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.programs import Certificates, path_of
from tests.support.server import PATIENCE, Settings, free_port, program

HOOK = '''#!/usr/bin/env python3
"""Tells the name server of a record."""
import json, sys, urllib.request
action, record, value = sys.argv[1:]
if record.startswith("_acme-challenge.broken."):
    sys.exit("no such zone")
path, body = ("set-txt", {{"host": record + ".", "value": value}}) if action == "add" else (
    "clear-txt", {{"host": record + "."}})
urllib.request.urlopen("http://127.0.0.1:{port}/" + path, json.dumps(body).encode()).read()
with open("{log}", "a") as log:
    log.write(action + " " + record + "\\n")
'''


class Pebble:
    """A running authority. Every name leads to 127.0.0.1; a twentieth of all good nonces is refused."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        own = Certificates(folder / "tls", "localhost")
        self.trust = own.authority
        self.ports = {name: free_port() for name in ("directory", "management", "http", "tls", "dns", "records")}
        self.config = folder / "pebble.json"
        self.config.write_text(
            json.dumps(
                {
                    "pebble": {
                        "listenAddress": f"127.0.0.1:{self.ports['directory']}",
                        "managementListenAddress": f"127.0.0.1:{self.ports['management']}",
                        "certificate": str(own.certificate),
                        "privateKey": str(own.key),
                        "httpPort": self.ports["http"],
                        "tlsPort": self.ports["tls"],
                    }
                }
            )
        )
        self.hook = folder / "hook"
        self.log = folder / "hook.log"
        self.hook.write_text(HOOK.format(port=self.ports["records"], log=self.log))
        self.hook.chmod(0o755)

    def settings(self, challenge: str, *domains: str) -> Settings:
        """The tables ``[acme]`` and ``[listen]``."""
        listener = {"http-01": ("acme_http", "http"), "tls-alpn-01": ("acme_tls", "tls")}.get(challenge)
        return {
            "acme": {
                "directory": f"https://localhost:{self.ports['directory']}/dir",
                "trust": str(self.trust),
                "email": "postmaster@example.org",
                "challenge": challenge,
                "hook": [str(self.hook)] if challenge == "dns-01" else [],
                "domains": list(domains),
            },
            "listen": {listener[0]: f"127.0.0.1:{self.ports[listener[1]]}"} if listener else {},
        }

    def trusting(self) -> ssl.SSLContext:
        """Trusts what the authority issues."""
        asking = ssl.create_default_context(cafile=str(self.trust))
        url = f"https://localhost:{self.ports['management']}/roots/0"
        with urllib.request.urlopen(url, context=asking, timeout=PATIENCE) as answer:
            return ssl.create_default_context(cadata=answer.read().decode())


@contextlib.contextmanager
def pebble(folder: Path) -> Iterator[Pebble]:
    """Run an authority meanwhile."""
    found = Pebble(folder)
    dns = [
        path_of("pebble-challtestsrv"), "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
        "-dns01", f"127.0.0.1:{found.ports['dns']}", "-management", f"127.0.0.1:{found.ports['records']}",
        "-http01", "", "-https01", "", "-tlsalpn01", "",
    ]  # fmt: skip
    authority = [
        "env", "PEBBLE_VA_NOSLEEP=1",
        path_of("pebble"), "-strict", "-config", str(found.config), "-dnsserver", f"127.0.0.1:{found.ports['dns']}",
    ]  # fmt: skip
    with program(dns, found.ports["records"]), program(authority, found.ports["directory"]):
        yield found
