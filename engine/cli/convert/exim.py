"""What Exim's configuration becomes: pipeline.toml, commands for the directory, and what is left to be done by hand."""

import ipaddress
import re
import shlex
from collections.abc import Iterable, Iterator
from itertools import islice

from engine.cli.convert import main_cf
from engine.cli.convert.exim_acl import Acls
from engine.cli.convert.exim_conf import Block, EximConf, Setting, parted
from engine.cli.convert.exim_routers import Ways
from engine.cli.convert.maps import SERVER
from engine.cli.convert.written import LOGIN, Converted, Table, span

_HEAD = (
    "# Made of Exim's configuration by `postroad convert`; what it could not say is in notes.txt. `postroad check`\n"
    "# looks at it.\n\n"
)

_PORTS = {25: "smtp", 465: "submissions", 587: "submission"}
_SERVICES = {"smtp": "25", "smtps": "465", "submissions": "465", "submission": "587"}
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_MOST_PAUSES = 24

_SIZES = {
    "smtp_accept_max": "max_connections", "smtp_accept_max_per_host": "max_connections_per_network",
    "recipients_max": "max_recipients", "message_size_limit": "max_size",
}  # fmt: skip
"""Main options → settings of [stage.accept]."""

_SILENT = re.compile(
    r"primary_hostname|qualify_(domain|recipient)|domainlist|hostlist|local_interfaces|daemon_smtp_ports?|"
    r"tls_(on_connect_ports|certificate|privatekey|advertise_hosts|verify_certificates|try_verify_hosts|dhparam|eccurve|"
    r"require_ciphers)|acl_smtp_\w+|acl_not_smtp\w*|exim_(path|user|group)|gecos_\w+|log_\w+|syslog_\w+|spool_\w+|"
    r"never_users|trusted_(users|groups)|host_lookup|dns_\w+|prdr_enable|local_(from_check|sender_retain|scan_\w+)|"
    r"untrusted_set_sender|ignore_bounce_errors_after|timeout_frozen_after|auto_thaw|freeze_tell|(keep|add)_environment|"
    r"smtputf8_advertise_hosts|print_topbitchars|rfc1413_\w+|disable_ipv6|smtp_(banner|connect_backlog|accept_queue\w*|"
    r"accept_reserve|receive_timeout|return_error_details|enforce_sync|accept_max_nonmail\w*)|queue_\w+|remote_max_parallel|"
    r"deliver_queue_load_max|split_spool_directory|check_\w+|received_header\w*|helo_\w+|chunking_advertise_hosts|"
    r"dsn_advertise_hosts|pipelining_\w+|allow_(mx|utf8)\w*|hosts_\w+|bounce_\w+|delay_warning\w*|errors_\w+|hold_domains|"
    r"process_log_path|pid_file_path|strip_\w+|sender_unqualified_hosts|recipient_unqualified_hosts|headers_charset|"
    r"(spamd|av)_\w+|message_logs|preserve_message_logs|UPEX\w+|openssl_options|gnutls_\w+|smtp_etrn\w*|write_rejectlog"
)
"""Main options that need no word: done by itself, read along with others, or without a counterpart for good reason."""

_BY_HAND = {
    "system_filter": "a Sieve script for all: [sieve] before (docs/operating.md)",
    "dkim_verify_signers": "`authenticate` looks at all signatures",
    "smtp_ratelimit_hosts": "network_messages in [stage.accept]",
    "smtp_load_reserve": "nothing: what is too much waits, or hears 421",
    "hosts_treat_as_local": "name these domains in [domains] local",
}


def convert(conf: EximConf, *, host: str = "", login: str = "") -> Converted:
    """All of it; what cannot be said is noted.

    ``host``: the name of the machine, where the configuration says none; ``login``: ours at the smart host, as a file.
    """
    return _Conversion(conf, host, login).converted()


class _Conversion:
    def __init__(self, conf: EximConf, host: str, login: str) -> None:
        self._conf = conf
        self._found = Converted()
        self._tables: list[Table] = []
        self._hostname = conf["primary_hostname"] or host or "localhost.localdomain"
        self._login = login or _client_login(conf.blocks["authenticators"].values())
        self._found.notes += conf.troubles
        if not conf["primary_hostname"]:
            text = "was taken: [server] hostname is our name in the DNS"
            self._note(f"primary_hostname is not said, {self._hostname} {text}")

    def _note(self, text: str) -> None:
        if text not in self._found.notes:
            self._found.notes.append(text)

    def converted(self) -> Converted:
        conf = self._conf
        local = list(dict.fromkeys(self._local_domains()))
        ways = Ways(conf, local, conf["qualify_recipient"] or conf["qualify_domain"] or self._hostname, self._note)
        acls = Acls(conf, self._note)
        if (passed_on := conf.lists.get("relay_to_domains")) is not None and parted(passed_on.value):
            text = "a domain that is only passed on has no lane of its own here: ask its server for the mail"
            self._note(f"{passed_on.place}: relay_to_domains = {passed_on.value}: {text}")
        self._server(local)
        listeners = self._listen()
        self._tls()
        accept, relay = self._accept(), self._relay(ways)
        lists = [Table("stage.dnsbl", [acls.lists])] if acls.lists else []
        self._lanes(ways, [name for name in ("submission", "submissions") if name in listeners], lists)
        self._tables += [accept, *lists, relay]
        self._smart_host(ways)
        self._directory(ways)
        self._left_over()
        self._found.config = _HEAD + "\n".join(map(str, self._tables))
        return self._found

    def _table(self, name: str) -> Table:
        self._tables.append(Table(name))
        return self._tables[-1]

    def _local_domains(self) -> Iterator[str]:
        setting = self._conf.lists.get("local_domains")
        if setting is None:
            self._note("there is no domainlist local_domains: name what is local in [domains] local")
            return
        for item in self._conf.items(setting.value):
            for domain in self._names(setting, item):
                if "." in domain and not domain.startswith("localhost"):
                    yield domain.lower()

    def _names(self, setting: Setting, item: str) -> Iterator[str]:
        if item == "@":
            yield self._hostname
        elif found := re.fullmatch(r"(?:partial\d*-)?n?(?:wild)?lsearch[*@]*;\s*(/.+)", item):
            try:
                yield from (name for name in self._conf.entries(found[1]) if "*" not in name)
            except LookupError as error:
                self._note(f"{setting.place}: {error}: name its domains in [domains] local")
        elif re.fullmatch(r"[\w.-]+", item):
            yield item
        elif item not in ("@[]", "@mx_any"):
            self._note(f"{setting.place}: {item} in {setting.name} was left out: name its domains in [domains] local")

    def _server(self, local: list[str]) -> None:
        server = self._table("server")
        server.put("hostname", self._hostname, "primary_hostname")
        server.put("data", "var")
        self._table("domains").put("local", local, "local_domains")

    # -- listeners and certificates

    def _listen(self) -> dict[str, str]:
        """The listeners, and where."""
        conf = self._conf
        words = parted(conf["daemon_smtp_ports"] or conf["daemon_smtp_port"]) or ["25"]
        ports = [int(_SERVICES.get(word, word)) for word in words if _SERVICES.get(word, word).isdecimal()]
        found: dict[str, str] = {}
        for item in parted(conf["local_interfaces"]) or ["*"]:
            places = _interfaces(item, ports)
            if not places:
                self._note(f"local_interfaces: {item} is no address: [listen]")
            for host, port in places:
                name = _PORTS.get(port)
                if name is None:
                    self._note(f"local_interfaces: port {port} is for no listener: docs/pipeline.md, [listen]")
                elif name in found:
                    self._note(f"local_interfaces: a listener has one address; {item} was left out")
                elif name == "smtp" or self._certificate():
                    found[name] = f"{host}:{port}"
        if self._certificate():
            host = found.get("smtp", "*:25").rpartition(":")[0]
            found |= {
                name: f"{host}:{port}" for name, port in (("submissions", 465), ("imaps", 993)) if name not in found
            }
        listen = self._table("listen")
        for name, place in found.items():
            listen.put(name, place, "local_interfaces" if name in _PORTS.values() else "")
        if not found:
            listen.put("smtp", "127.0.0.1:25")
        return found

    def _certificate(self) -> str:
        given = self._conf["tls_certificate"]
        offered = "tls_advertise_hosts" not in self._conf.main or self._conf["tls_advertise_hosts"]
        return given if offered and "$" not in given else ""

    def _tls(self) -> None:
        certificate = self._conf["tls_certificate"]
        if not self._certificate():
            self._note("tls_certificate says no file: without [tls] or [acme] nobody logs in (docs/operating.md)")
            return
        tls = self._table("tls")
        tls.put("certificate", certificate, "tls_certificate")
        tls.put("key", self._conf["tls_privatekey"] or certificate, "tls_privatekey")

    # -- stages

    def _accept(self) -> Table:
        accept = Table("stage.accept")
        accept.put("relay_networks", list(dict.fromkeys(self._networks())), "relay_from_hosts")
        for name, key in _SIZES.items():
            match = re.fullmatch(r"(\d+)([KMGkmg]?)", self._conf[name])
            if match and int(match[1]):
                accept.put(key, int(match[1]) * _UNITS[match[2].lower()], name)
            elif self._conf[name]:
                self._note(f"{self._conf.main[name].place}: {name} = {self._conf[name]}: {key} in [stage.accept]")
        return accept

    def _networks(self) -> Iterator[str]:
        setting = self._conf.lists.get("relay_from_hosts")
        for item in self._conf.items(setting.value) if setting else ():
            try:
                yield str(ipaddress.ip_network(item.strip("[]"), strict=False))
            except ValueError:
                if item in ("@[]", "localhost"):
                    yield from ("127.0.0.0/8", "::1/128")
                elif item != "@":
                    assert setting is not None
                    self._note(f"{setting.place}: {item} is no network: name it in relay_networks of [stage.accept]")

    def _relay(self, ways: Ways) -> Table:
        relay = Table("stage.relay")
        transport = self._conf.blocks["transports"].get(ways.remote_transport)
        if transport is not None:
            if (level := _level(transport)) is not None:
                relay.put("tls", level, f"transport {transport.name}")
            if domain := transport["dkim_domain"]:
                where = f"dkim/{domain}/signing/{transport['dkim_selector']}.pem"
                self._note(
                    f"{transport.place}: put the key {transport['dkim_private_key']} into {where} (docs/migrating.md)"
                )
        for number, line in enumerate(self._conf.rest.get("retry", ())):
            pauses, expire = _retries(line.text)
            if number or not line.text.startswith("*") or not pauses:
                self._note(f"{line.place}: the retry rule {line.text} was left out: retry and expire in [stage.relay]")
                continue
            relay.put("retry", [span(pause) for pause in pauses], "retry")
            relay.put("expire", span(expire), "retry")
        return relay

    def _lanes(self, ways: Ways, submission: list[str], lists: list[Table]) -> None:
        at_the_door = '"dnsbl", ' if lists else ""
        self._table("lane.inbound").line(f'stages = ["accept", {at_the_door}"authenticate", "queue", "route"]')
        if submission:
            outbound = self._table("lane.outbound")
            outbound.put("listen", submission)
            outbound.line('stages = ["submit", "queue", "route"]')
            submit = self._table("stage.submit")
            submit.line('use = "stages.accept"')
            submit.put("login", "required")
        for lane, (key, place, source) in ways.lanes.items():
            name = f"{lane}_way"
            to_server = key == SERVER
            stages = f'stages = ["sign", "{name}", "relay"]' if to_server else f'stages = ["{name}"]'
            self._table(f"lane.{lane}").line(stages, source)
            stage = self._table(f"stage.{name}")
            stage.line('use = "stages.resolve"' if to_server else 'use = "stages.lmtp"')
            stage.put(key, place)
        if "local" not in ways.lanes:
            self._table("lane.local").line('stages = ["enqueue"]', "appendfile")
        self._table("lane.remote").line('stages = ["sign", "resolve", "relay"]')
        for to, lane, source in [*ways.rules, ("local", "local", ""), ("*", "remote", "")]:
            route = self._table("[[route]]")
            route.put("to", to, source)
            route.put("lane", lane)
        if ways.subaddress not in ("", "+"):
            self._table("stage.route").put("subaddress", ways.subaddress, "local_part_suffix")

    def _smart_host(self, ways: Ways) -> None:
        if not ways.smart_host:
            return
        host, _, port = ways.smart_host.rpartition(":")
        self._table("stage.resolve").put("smart_host", ways.smart_host, "manualroute")
        if not self._login:
            return
        upstream = self._table("smart_host.upstream")
        upstream.put("host", host)
        upstream.put("port", int(port))
        upstream.put("login_file", LOGIN, "authenticators")
        upstream.put("tls", "implicit" if port == "465" else "starttls")
        self._found.login = self._login

    def _directory(self, ways: Ways) -> None:
        lines = ["#!/bin/sh", "# Accounts and aliases, as Exim had them. Each account asks for a password.",
                 ': "${POSTROAD:=postroad}"', ""]  # fmt: skip
        lines += (f"$POSTROAD account add {shlex.quote(address)}" for address in dict.fromkeys(ways.accounts))
        lines += (
            f"$POSTROAD alias add {shlex.quote(name)} {shlex.join(targets)}" for name, targets in ways.aliases.items()
        )
        self._found.commands = "\n".join(lines) + "\n"

    def _left_over(self) -> None:
        conf = self._conf
        for setting in conf.main.values():
            name = setting.name
            if name not in _SIZES and not _SILENT.fullmatch(name) and setting.value not in ("", "false"):
                self._note(f"{setting.place}: {name}: {_BY_HAND.get(name, 'was left out')}")
        for section, why in (("rewrite", "filters/masquerade.py (docs/filters.md)"), ("local_scan", "a filter")):
            for line in conf.rest.get(section, ()):
                self._note(f"{line.place}: {section}: {line.text[:80]}: {why}")
        for block in conf.blocks["authenticators"].values():
            if any(setting.name.startswith("server_") for setting in block.settings):
                text = "logins are those of accounts: `postroad account add`, or a [directory] (docs/operating.md)"
                self._note(f"{block.place}: the authenticator {block.name}: {text}")


def _interfaces(item: str, ports: Iterable[int]) -> list[tuple[str, int]]:
    """An address with its own port, ``192.0.2.1.587`` or ``[192.0.2.1]:587``, or with each of ``ports``; or nothing."""
    if item == "*":
        return [("*", port) for port in ports]
    own = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?|((?:\d+\.){3}\d+)\.(\d+)|([^\[\]]+:[^\[\]]*)\.(\d+)", item)
    host, port = (own[1] or own[3] or own[5], own[2] or own[4] or own[6]) if own else (item, None)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    shown = f"[{address}]" if address.version == 6 else str(address)
    return [(shown, one) for one in ([int(port)] if port else ports)]


def _level(transport: Block) -> str | None:
    if transport["hosts_avoid_tls"] == "*":
        return "never"
    if transport["tls_verify_hosts"] == "*" and transport["hosts_require_tls"] == "*":
        return "verify"
    return "require" if transport["hosts_require_tls"] == "*" else None


def _retries(text: str) -> tuple[list[int], int]:
    """The pauses of a retry rule, and when it gives up; none where it cannot be read."""
    pauses: list[int] = []
    now = last = 0
    for kind, numbers in re.findall(r"\b([FGH])\s*,\s*([\w.,\s]+)", text):
        given = [word.strip() for word in numbers.split(",")]
        try:
            last, pause = main_cf.seconds(given[0], "s"), float(main_cf.seconds(given[1], "s"))
        except (ValueError, IndexError):
            return [], 0
        factor = float(given[2]) if kind != "F" and len(given) > 2 else 1.0
        while pause and now < last:
            pauses.append(round(pause))
            now += round(pause)
            pause *= factor
    while pauses[1:] and pauses[-1] == pauses[-2]:
        pauses.pop()  # the last one repeats
    return [_rounded(pause) for pause in islice(pauses, _MOST_PAUSES)], last


def _rounded(seconds: int) -> int:
    """To whole minutes, where it is longer."""
    return round(seconds / 60) * 60 if seconds > 60 else seconds


def _client_login(blocks: Iterable[Block]) -> str:
    """Name and password by which we log in elsewhere, as the file LOGIN has them; empty where none are in plain."""
    for block in blocks:
        words = parted(block["client_send"])
        joined = words[0].split("^") if len(words) == 1 else ["", *words]
        if len(joined) == 3 and not any("$" in word for word in joined):
            return f"{joined[1]}\n{joined[2]}\n"
        if block["client_name"] and block["client_secret"] and "$" not in block["client_name"] + block["client_secret"]:
            return f"{block['client_name']}\n{block['client_secret']}\n"
    return ""
