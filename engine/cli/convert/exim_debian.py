"""Exim as Debian sets it up: update-exim4.conf.conf(5), with the template or the split files that it fills in."""

import re
import shlex
from pathlib import Path

from engine.cli.convert.exim_conf import EximConf, parted

SIGN = "dc_eximconfig_configtype"
"""By which such a file is known."""

ETC = Path("/etc/exim4")

_SECTIONS = ("main", "acl", "router", "transport", "retry", "rewrite", "auth")


class Debian:
    """``conf``: what Exim would read; ``host``: the name for mail; ``login``: ours at the smart host."""

    def __init__(self, text: str, folder: Path) -> None:
        """Files are read in ``folder``, or else where Debian has them. LookupError."""
        self._folder = folder
        self._values = {name: value.strip().lower() for name, value in _assigned(text)}
        self.host = self._read("mailname", Path("/etc/mailname")).strip()
        named = "\n".join(f".include {path}" for path in self._files())
        self.conf = EximConf(named, "update-exim4.conf.conf", folder, self._macros())
        self.login = self._login()

    def _files(self) -> list[Path]:
        if self._values.get("dc_use_split_config") == "true":
            own = self._folder / "conf.d"
            root = own if own.is_dir() else ETC / "conf.d"
            return [path for section in _SECTIONS for path in sorted((root / section).glob("[!.]*[!~]"))]
        local = ETC / "exim4.conf.localmacros"
        known = [local] if (self._folder / local.name).is_file() or local.is_file() else []
        return [*known, ETC / "exim4.conf.template"]

    def _macros(self) -> dict[str, str]:
        """As update-exim4.conf(8) makes them of the answers."""
        given = self._values
        kind = given.get(SIGN, "none")
        if kind == "none":
            return {}
        others = given.get("dc_other_hostnames", "").removeprefix("<;").replace(";", ":")
        networks = _listed(given.get("dc_relay_nets", ""))
        found = {
            "MAIN_LOCAL_DOMAINS": f"@:localhost:{others}",
            "MAIN_RELAY_TO_DOMAINS": _listed(given.get("dc_relay_domains", "")),
            "MAIN_RELAY_NETS": networks
            + (" ; 127.0.0.1 ; ::1" if networks.startswith("<;") else " : 127.0.0.1 : ::::1"),
            "ETC_MAILNAME": self.host,
            "LOCAL_DELIVERY": given.get("dc_localdelivery") or "mail_spool",
            "DCreadhost": given.get("dc_readhost", ""),
            "DCsmarthost": given.get("dc_smarthost", "").replace(";", ":"),
            f"DCconfig_{kind}": "1",
        }
        if interfaces := given.get("dc_local_interfaces"):
            found["MAIN_LOCAL_INTERFACES"] = _listed(interfaces)
        if given.get("dc_hide_mailname") == "true" and found["DCreadhost"]:
            found["HIDE_MAILNAME"] = "1"
        return found | {name: value for name, value in given.items() if name[0].isupper() and name != "CFILEMODE"}

    def _login(self) -> str:
        hosts = parted(self._values.get("dc_smarthost", ""))
        for line in self._read("passwd.client", ETC / "passwd.client").splitlines():
            target, _, rest = line.strip().partition(":")
            if rest and hosts and not target.startswith("#") and target.lower() in ("*", hosts[0].partition(":")[0]):
                name, _, password = rest.partition(":")
                return f"{name}\n{password}\n"
        return ""

    def _read(self, name: str, usual: Path) -> str:
        """A file, of which there may be a copy; empty where it cannot be read."""
        copy = self._folder / name
        try:
            return (copy if copy.is_file() else usual).read_text(errors="replace")
        except OSError:
            return ""


def _assigned(text: str) -> list[tuple[str, str]]:
    found = []
    for line in text.splitlines():
        if match := re.match(r"\s*([A-Za-z]\w*)=(.*)", line):
            try:
                words = shlex.split(match[2], comments=True)
            except ValueError:  # a quote without its end
                words = [match[2].strip("'\" ")]
            found.append((match[1], " ".join(words)))
    return found


def _listed(text: str) -> str:
    """Debian lets semicolons part lists without saying so."""
    return f"<; {text}" if ";" in text and not text.startswith("<") else text
