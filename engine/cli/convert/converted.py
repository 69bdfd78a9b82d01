"""What a main.cf becomes: pipeline.toml, the commands for the directory, and what is left to be done by hand."""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

from engine.cli.convert import main_cf
from engine.cli.convert.main_cf import MainCf
from engine.cli.convert.maps import SERVER, Route, directory_commands, routes
from engine.cli.convert.written import LOGIN, Converted, Table, span, toml
from engine.cli.init.template import quoted

_HEAD = (
    "# Made of main.cf by `postroad convert`; what it could not say is in notes.txt. `postroad check` looks at it.\n\n"
)

_LEVELS = {
    "none": "never", "may": "opportunistic", "encrypt": "require", "dane": "opportunistic", "dane-only": "dane",
    "verify": "verify", "secure": "verify", "fingerprint": "verify",
}  # fmt: skip
"""smtp_tls_security_level → how [stage.relay] calls it. DANE is looked for in any case."""

_ACTIONS = {"tempfail": "defer", "accept": "skip", "reject": "reject", "quarantine": "quarantine", "shutdown": "defer"}
"""milter_default_action → `on_error`."""

_DONE_ANYWAY = {
    "permit_mynetworks", "permit_sasl_authenticated", "reject_unauth_destination", "reject_unlisted_recipient",
    "defer_unauth_destination", "permit", "reject_non_fqdn_recipient", "reject_non_fqdn_sender",
    "reject_unknown_recipient_domain", "reject_unauth_pipelining", "permit_auth_destination",
}  # fmt: skip
"""Restrictions that say what Postroad does by itself."""

_RESTRICTIONS = [
    "smtpd_client_restrictions",
    "smtpd_helo_restrictions",
    "smtpd_sender_restrictions",
    "smtpd_relay_restrictions",
    "smtpd_recipient_restrictions",
    "smtpd_data_restrictions",
    "smtpd_end_of_data_restrictions",
]

_SILENT = re.compile(
    r"biff|append_dot_mydomain|compatibility_level|smtpd_banner|(command|daemon|data|queue|readme|html|manpage|sample|"
    r"meta|shlib)_directory|(mail|setgid|default)_(owner|group|privs)|(newaliases|mailq|sendmail)_path|myhostname|"
    r"mydomain|myorigin|mydestination|inet_protocols|smtpd_tls_(auth_only|session_cache_database|loglevel|"
    r"received_header|mandatory_.*|protocols|ciphers|security_level|chain_files|key_file)|smtp_tls_(CApath|CAfile|"
    r"session_cache_database|loglevel|note_starttls_offer|mandatory_.*|protocols|ciphers)|smtpd_use_tls|smtp_use_tls|"
    r"tls_.*|smtpd_sasl_.*|smtp_sasl_(auth_enable|security_options|tls_security_options|password_maps)|broken_sasl_.*|"
    r"disable_vrfy_command|smtpd_helo_required|smtputf8_enable|strict_rfc821_envelopes|unknown_local_recipient_reject_"
    r"code|alias_database|debug.*|milter_protocol|milter_default_action|bounce_queue_lifetime|maximal_backoff_time|"
    r"smtpd_delay_reject|local_recipient_maps|virtual_(uid_maps|gid_maps|minimum_uid|mailbox_base)|mailbox_size_limit"
)
"""Settings that need no word: done by itself, read along with another one, or without a counterpart for good reason."""

_BY_HAND = {
    "header_checks": "write a filter (docs/writing-stages.md), or a Sieve script in [sieve] before",
    "body_checks": "write a filter (docs/writing-stages.md)",
    "always_bcc": "filters/journal.py (docs/filters.md)",
    "canonical_maps": "filters/masquerade.py (docs/filters.md)",
    "sender_canonical_maps": "filters/masquerade.py (docs/filters.md)",
    "masquerade_domains": "filters/masquerade.py (docs/filters.md)",
    "relay_domains": "a domain that is only passed on has no lane of its own here: ask its server for the mail",
    "smtp_tls_policy_maps": "`tls` in [stage.relay] holds for all; what domains publish is kept (docs/tls.md)",
    "sender_dependent_relayhost_maps": "tenants with a smart host each (docs/egress.md)",
    "sender_dependent_default_transport_maps": "tenants with pools of their own (docs/egress.md)",
    "smtp_bind_address": "a source and a pool (docs/egress.md)",
    "content_filter": "a stage: smtp_filter, command, milter or scan (docs/other-filters.md)",
    "mailbox_command": "mail goes into mailboxes of Postroad; scripts: docs/operating.md",
    "home_mailbox": "mail goes into mailboxes of Postroad; `postroad mailbox import` takes a Maildir",
    "virtual_mailbox_limit": "[quota] size",
    "luser_relay": "`postroad alias add @DOMAIN ADDRESS` takes all that is unknown",
    "smtpd_client_message_rate_limit": "network_messages in [stage.accept]",
    "smtpd_client_recipient_rate_limit": "network_recipients in [stage.accept]",
    "smtpd_sender_login_maps": "`postroad account grant` (docs/operating.md)",
    "postscreen_dnsbl_sites": "[stage.dnsbl], greet_delay and early_talker in [stage.accept]",
}


def convert(cf: MainCf) -> Converted:
    """All of it; what cannot be said is noted."""
    return _Conversion(cf).converted()


class _Conversion:
    def __init__(self, cf: MainCf) -> None:
        self._cf = cf
        self._found = Converted()
        self._note = self._found.notes.append
        self._used: set[str] = set()  # settings that were looked at
        self._tables: list[Table] = []
        self._remote = True  # whether any mail goes to where the DNS says

    def converted(self) -> Converted:
        local = self._local_domains()
        milters = self._milters()
        self._server(local)
        self._listen()
        self._tls()
        accept, relay = self._accept(), self._relay()
        lists = self._lists()
        ways = routes(self._cf, self._note)
        self._used |= {"transport_maps", "virtual_transport", "mailbox_transport", "local_transport"}
        self._lanes(milters, lists, ways)
        self._tables += [accept, *lists, relay]
        self._smart_host()
        self._found.commands = directory_commands(self._cf, local, self._note)
        self._used |= {"alias_maps", "virtual_alias_maps", "virtual_mailbox_maps", "virtual_alias_domains"}
        self._left_over()
        self._found.config = _HEAD + "\n".join(map(str, self._tables))
        return self._found

    def _given(self, name: str) -> str:
        """What main.cf itself says; empty where it says nothing."""
        self._used.add(name)
        return self._cf[name] if name in self._cf.given else ""

    def _table(self, name: str) -> Table:
        self._tables.append(Table(name))
        return self._tables[-1]

    def _local_domains(self) -> list[str]:
        found: dict[str, None] = {}
        for name in ("mydestination", "virtual_mailbox_domains", "virtual_alias_domains"):
            self._used.add(name)
            for word in self._cf.words(name):
                for domain in self._names(word, name):
                    found[domain.lower()] = None
        return [domain for domain in found if "." in domain and not domain.startswith("localhost")]

    def _names(self, word: str, setting: str) -> Iterator[str]:
        if ":" not in word and not word.startswith("/"):
            yield word
            return
        try:
            yield from self._cf.entries(word)
        except LookupError as error:
            self._note(f"{setting}: {error}: name its domains in [domains] local")

    def _server(self, local: list[str]) -> None:
        server = self._table("server")
        server.put("hostname", self._cf["myhostname"], "myhostname")
        server.put("data", "var")
        self._table("domains").put("local", local, "mydestination, virtual_mailbox_domains, virtual_alias_domains")

    def _listen(self) -> None:
        self._used |= {"inet_interfaces", "inet_protocols"}
        interfaces = self._cf.words("inet_interfaces")
        everywhere = {"ipv4": "0.0.0.0"}.get(self._cf["inet_protocols"].strip(), "*")
        first = interfaces[0] if interfaces else "all"
        host = {"all": everywhere, "loopback-only": "127.0.0.1", "localhost": "127.0.0.1"}.get(first)
        if host is None:
            host = f"[{first}]" if ":" in first and not first.startswith("[") else first
            host = host if re.fullmatch(r"[\d.]+|\[[0-9A-Fa-f:.]+\]", host) else "*"
        if len(interfaces) > 1:
            self._note(f"inet_interfaces: a listener has one address; {first} was taken")
        listen = self._table("listen")
        listen.put("smtp", f"{host}:25", "inet_interfaces")
        if self._certificate():
            for name, port in (("submissions", 465), ("submission", 587), ("imaps", 993)):
                listen.put(name, f"{host}:{port}")

    def _certificate(self) -> tuple[str, str] | None:
        chain = self._cf.words("smtpd_tls_chain_files")
        certificate = self._given("smtpd_tls_cert_file") or (chain[0] if chain else "")
        key = self._given("smtpd_tls_key_file") or certificate
        return (certificate, key) if certificate not in ("", "none") else None

    def _tls(self) -> None:
        pair = self._certificate()
        if pair is None:
            self._note("smtpd_tls_cert_file is not there: without [tls] or [acme] nobody logs in (docs/operating.md)")
            return
        tls = self._table("tls")
        tls.put("certificate", pair[0], "smtpd_tls_cert_file")
        tls.put("key", pair[1], "smtpd_tls_key_file")

    def _accept(self) -> Table:
        accept = Table("stage.accept")
        accept.put("relay_networks", list(self._networks()), "mynetworks")
        for name, key in (
            ("message_size_limit", "max_size"), ("smtpd_recipient_limit", "max_recipients"),
            ("smtpd_client_connection_count_limit", "max_connections_per_network"),
            ("smtpd_hard_error_limit", "max_errors"),
        ):  # fmt: skip
            if (value := self._given(name)).isdecimal() and int(value):
                accept.put(key, int(value), name)
            elif value:
                self._note(f"{name} = {value}: there is always a bound here, {key} in [stage.accept]")
        return accept

    def _networks(self) -> Iterator[str]:
        self._used.add("mynetworks")
        for word in self._cf.words("mynetworks"):
            text = re.sub(r"^\[(.*)\](/\d+)?$", lambda found: found[1] + (found[2] or ""), word)
            try:
                yield str(ipaddress.ip_network(text, strict=False))
            except ValueError:
                self._note(f"mynetworks: {word} is no network: name it in relay_networks of [stage.accept]")

    def _relay(self) -> Table:
        relay = Table("stage.relay")
        if level := self._given("smtp_tls_security_level"):
            relay.put("tls", _LEVELS.get(level, "opportunistic"), "smtp_tls_security_level")
        if (connections := self._given("default_destination_concurrency_limit")).isdecimal() and int(connections):
            relay.put("connections", int(connections), "default_destination_concurrency_limit")
        if lifetime := self._time("maximal_queue_lifetime", "d"):
            relay.put("expire", span(lifetime), "maximal_queue_lifetime")
        if first := self._time("minimal_backoff_time", "s"):
            last = self._time("maximal_backoff_time", "s") or 4000
            pauses = [first * 2**step for step in range(8) if first * 2**step < last]
            relay.put("retry", [span(pause) for pause in (*pauses, max(last, first))], "minimal_backoff_time")
        return relay

    def _time(self, name: str, unit: str) -> int:
        value = self._given(name)
        try:
            return main_cf.seconds(value, unit) if value else 0
        except ValueError as error:
            self._note(f"{name}: {error}")
            return 0

    def _milters(self) -> list[Table]:
        self._used |= {"smtpd_milters", "non_smtpd_milters"}
        action = _ACTIONS.get(self._cf["milter_default_action"] or "tempfail", "defer")
        found = []
        for number, word in enumerate(self._cf.words("smtpd_milters"), 1):
            table = Table(f"stage.milter_{number}")
            table.line('use = "stages.milter"')
            place = word.strip("{} ").split()[0].rstrip(",")
            # Below Postfix's queue folder, where it runs in a chroot.
            place = place if not place.startswith("unix:") or place.startswith("unix:/") else (
                f"unix:/var/spool/postfix/{place[5:]}")  # fmt: skip
            table.put("connect", place, "smtpd_milters")
            table.put("on_error", action, "milter_default_action")
            found.append(table)
        return found

    def _lists(self) -> list[Table]:
        """Lists of the DNS, if clients are refused by any; the other restrictions are noted."""
        lists = []
        for name in _RESTRICTIONS:
            self._used.add(name)
            words = self._cf.words(name) if name in self._cf.given else []
            for number, word in enumerate(words):
                before = words[number - 1] if number else ""
                if before == "reject_rbl_client":
                    lists.append(_list(word))
                elif re.match("check_policy_service|reject_rhsbl_", before):
                    self._note(f"{name}: {before} {word} was left out: [stage.dnsbl], or a stage of its own")
                elif word not in _DONE_ANYWAY and not re.match(r"reject_rbl_client|check_policy|reject_rhsbl|\d", word):
                    self._note(f'{name}: {word} was left out (docs/operating.md, "At the door")')
        if not lists:
            return []
        table = Table("stage.dnsbl")
        table.line(f"lists = {toml(lists)}", "reject_rbl_client")
        return [table]

    def _lanes(self, milters: list[Table], lists: list[Table], ways: list[Route]) -> None:
        names = "".join(f"{quoted(table.name.removeprefix('stage.'))}, " for table in milters)
        at_the_door = '"dnsbl", ' if lists else ""
        self._table("lane.inbound").line(f'stages = ["accept", {at_the_door}"authenticate", {names}"queue", "route"]')
        if self._certificate():
            outbound = self._table("lane.outbound")
            outbound.put("listen", ["submissions", "submission"])
            outbound.line(f'stages = ["submit", {names}"queue", "route"]')
            submit = self._table("stage.submit")
            submit.line('use = "stages.accept"')
            submit.put("login", "required")
        self._tables += milters
        for way in ways:
            self._way(way)
        if not any(way.lane == "local" for way in ways if way.place):
            self._table("lane.local").line('stages = ["enqueue"]')
        special = [(way.to, way.lane) for way in ways if way.to not in ("", "*")]
        others = next((way.lane for way in ways if way.to == "*"), "remote")
        rules = [*special, ("local", "local"), ("*", others)]
        self._remote = any(lane == "remote" for _, lane in rules)
        if self._remote:
            self._table("lane.remote").line('stages = ["sign", "resolve", "relay"]')
        for to, lane in rules:
            route = self._table("[[route]]")
            route.put("to", to)
            route.put("lane", lane)
        if self._cf["recipient_delimiter"] != "+":
            self._table("stage.route").put("subaddress", self._cf["recipient_delimiter"][:1], "recipient_delimiter")
        self._used.add("recipient_delimiter")

    def _way(self, way: Route) -> None:
        """The lane of a transport, once."""
        if not way.place or any(table.name == f"lane.{way.lane}" for table in self._tables):
            return
        name = f"{way.lane}_way"
        to_server = way.key == SERVER
        stages = f'stages = ["sign", "{name}", "relay"]' if to_server else f'stages = ["{name}"]'
        self._table(f"lane.{way.lane}").line(stages, way.source)
        stage = self._table(f"stage.{name}")
        stage.line('use = "stages.resolve"' if to_server else 'use = "stages.lmtp"')
        stage.put(way.key, way.place)

    def _smart_host(self) -> None:
        text = self._given("relayhost")
        match = re.fullmatch(r"\[?([\w.-]+)\]?(?::(\d+|smtp|submission))?", text)
        if not text or not self._remote:
            return
        if match is None:
            self._note(f"relayhost = {text}: say it by smart_host in [stage.resolve]")
            return
        host, port = match[1], int({"smtp": "25", "submission": "587"}.get(match[2] or "25", match[2] or "25"))
        if "[" not in text:
            self._note(f"relayhost = {text}: Postfix asks for its MX records; here {host} itself is connected to")
        self._table("stage.resolve").put("smart_host", f"{host}:{port}", "relayhost")
        login = self._login(text)
        if not login:
            return
        upstream = self._table("smart_host.upstream")
        upstream.put("host", host)
        upstream.put("port", port)
        upstream.put("login_file", LOGIN, "smtp_sasl_password_maps")
        upstream.put("tls", "implicit" if port == 465 else "starttls")
        self._found.login = login

    def _login(self, relayhost: str) -> str:
        """What our account there is, as the file has it."""
        for word in self._cf.words("smtp_sasl_password_maps") if self._cf["smtp_sasl_auth_enable"] == "yes" else ():
            try:
                entries = self._cf.entries(word)
            except LookupError as error:
                self._note(f"smtp_sasl_password_maps: {error}: write {LOGIN} by hand")
                continue
            if value := entries.get(relayhost.lower()):
                name, _, password = value.partition(":")
                return f"{name}\n{password}\n"
        return ""

    def _left_over(self) -> None:
        for name in self._cf.given:
            if name in self._used or _SILENT.fullmatch(name) or not self._cf[name]:
                continue
            self._note(f"{name}: {_BY_HAND.get(name, 'was left out')}")


def _list(word: str) -> dict[str, Any]:
    """``zone`` or ``zone=127.0.0.[2..11]``; of several answers in brackets, each."""
    zone, _, answer = word.partition("=")
    if not answer:
        return {"zone": zone}
    bracket = re.search(r"\[([\d.;]+)\]", answer)
    parts = [part.replace("..", "-") for part in bracket[1].split(";")] if bracket else [""]
    return {"zone": zone, "answers": [re.sub(r"\[[\d.;]+\]", part, answer) for part in parts]}
