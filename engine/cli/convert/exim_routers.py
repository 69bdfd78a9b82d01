"""What Exim's routers and transports become: routes and lanes, aliases and accounts."""

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from engine.cli.convert.exim_conf import Block, EximConf, parted
from engine.cli.convert.maps import SERVER, alias

Note: TypeAlias = Callable[[str], None]

_LOOKUP = re.compile(
    r"\$\{lookup\s*\{([^{}]*(?:\{[^{}]*\})?[^{}]*)\}\s*((?:partial\d*-)?n?(?:wild)?lsearch[*@]*)\s*\{([^{}]+)\}"
)
_EXISTS = re.compile(r"\$\{if\s+exists\s*\{([^{}]+)\}\s*\{([^{}]*)\}\s*(?:\{([^{}]*)\}|fail)?\s*\}")
_LOCAL_PARTS = ("$local_part", "${local_part}", "$local_part_data", "${local_part_data}", "${lc:$local_part}")

_SILENT = re.compile(
    r"debug_print|driver|transport|domains|more|verify\w*|expn|same_domain_copy_routing|allow_(fail|defer|filter)|data|file|"
    r"check_(local_user|ancestor)|(file|pipe|directory|reply)_transport|host_find_failed|ignore_target_hosts|self|unseen|"
    r"route_(list|data)|cannot_route_message|local_part_suffix\w*|forbid_\w+|skip_syntax_errors|syntax_errors_\w+|"
    r"require_files|retry_use_local_part|user|group|pass_router|address_test|fail_verify\w*|mx_domains|caseful_local_part|"
    r"dnssec_request_domains|qualify_preserve_domain|one_time|hide_child_in_errmsg|rewrite|host_all_ignored|modemask|owners"
)
"""Options of routers that need no word."""

_CONDITIONS = ("condition", "senders", "address_data", "headers_add", "headers_remove", "errors_to", "local_parts")
"""Options by which a router is for some mail only, or does more than route."""

_TRANSPORT_NOTES = {
    "interface": "a source and a pool (docs/egress.md)", "headers_rewrite": "filters/masquerade.py (docs/filters.md)",
    "return_path": "[srs], or filters/masquerade.py", "helo_data": "[server] hostname, or a source (docs/egress.md)",
    "headers_add": "a filter (docs/filters.md)", "headers_remove": "a filter (docs/filters.md)",
    "message_size_limit": "max_size in [stage.accept]", "transport_filter": "a stage: command (docs/other-filters.md)",
    "quota": "`postroad quota` and [quota]",
}  # fmt: skip


class Ways:
    """Where mail goes, by the routers in their order.

    ``rules``: recipients, lane and source of each route; ``lanes``: setting, place and source of those that lead to a
    server or a store of their own; ``smart_host``: who takes all that goes out.
    """

    def __init__(self, conf: EximConf, local: list[str], origin: str, note: Note) -> None:
        """``origin``: the domain of addresses that have none."""
        self.rules: list[tuple[str, str, str]] = []
        self.lanes: dict[str, tuple[str, str, str]] = {}
        self.aliases: dict[str, list[str]] = {}
        self.accounts: list[str] = []
        self.smart_host = ""
        self.remote_transport = ""
        self.subaddress = ""
        self._conf = conf
        self._local = local
        self._origin = origin
        self._note = note
        drivers = {
            "dnslookup": self._by_dns, "manualroute": self._by_hand, "redirect": self._redirect, "accept": self._accept,
        }  # fmt: skip
        for router in conf.blocks["routers"].values():
            if (driver := drivers.get(router["driver"])) is None:
                self._left_out(router, f"its driver {router['driver']} has no counterpart")
            elif not self._is_never(router):
                driver(router)
                self._options(router)
        self._transports()

    def _left_out(self, router: Block, why: str) -> None:
        self._note(f"{router.place}: the router {router.name} was left out: {why}")

    def _is_never(self, router: Block) -> bool:
        """Whether it stands there for a file that there is not."""
        return bool(router["domains"]) and not self._settled(router["domains"])

    def _settled(self, text: str) -> str:
        """A value, as far as it depends on files that are there or not."""
        return _EXISTS.sub(lambda found: found[2] if self._is_there(found[1]) else found[3] or "", text).strip()

    def _is_there(self, name: str) -> bool:
        try:
            self._conf.text_of(name)
        except LookupError:
            return False
        return True

    def _options(self, router: Block) -> None:
        if suffix := router["local_part_suffix"]:
            self.subaddress = self.subaddress or parted(suffix)[0][:1]
        for setting in router.settings:
            if _SILENT.fullmatch(setting.name) or setting.name in _CONDITIONS or setting.name == "local_part_prefix":
                continue
            text = f"{setting.name} = {setting.value[:60]} was left out"
            self._note(f"{setting.place}: router {router.name}: {text}")

    def _scope(self, router: Block) -> tuple[list[str], bool]:
        """The domains of a router that are named, and whether it is for all that is not local."""
        text = self._settled(router["domains"])
        if not text:
            return [], True
        named, others = [], False
        for item in parted(text):
            if item.startswith("!") or item == "*":
                others = True
            elif item == "+local_domains":
                named += self._local
            else:
                named += [name for one in self._conf.items(item) for name in self._domains(router, one)]
        return named, others and not named

    def _domains(self, router: Block, item: str) -> Iterator[str]:
        if found := re.fullmatch(r"(?:partial\d*-)?n?(?:wild)?lsearch[*@]*;\s*(\S+)", item):
            yield from self._entries(router, found[1])
        elif re.fullmatch(r"(\*\.)?[\w.-]+", item):
            yield item
        else:
            self._note(f"{router.place}: router {router.name}: the domains {item[:60]} were left out")

    def _entries(self, router: Block, name: str) -> dict[str, str]:
        try:
            return self._conf.entries(name)
        except LookupError as error:
            self._note(f"{router.place}: router {router.name}: {error}")
            return {}

    # -- to other servers

    def _by_dns(self, router: Block) -> None:
        domains, others = self._scope(router)
        if self._is_conditional(router):
            return
        if others:
            self.remote_transport = self.remote_transport or router["transport"]
        self.rules += [(domain, "remote", f"router {router.name}") for domain in domains if domain not in self._local]

    def _by_hand(self, router: Block) -> None:
        domains, others = self._scope(router)
        if self._is_conditional(router):
            return
        for pattern, hosts in self._targets(router):
            place = self._place(router, hosts)
            if not place:
                continue
            if pattern == "*" and others:
                self.smart_host = self.smart_host or place
                self.remote_transport = self.remote_transport or router["transport"]
                continue
            for domain in domains if pattern == "*" else [pattern]:
                self._route(router, domain, place)

    def _targets(self, router: Block) -> Iterator[tuple[str, str]]:
        """Domains and hosts: of `route_list`, or of a file that `route_data` looks into."""
        for part in re.split(r"(?<!;);(?!;)", router["route_list"]):
            if match := re.match(r'\s*(\S+)\s+("[^"]*"|\S+)', part):
                pattern = "*" if match[1].startswith("!") else match[1]
                if re.fullmatch(r"\*|(\*\.)?[\w.-]+", pattern):
                    yield pattern, match[2].strip('"')
                else:
                    self._left_out(router, f"{pattern} in its route_list is no domain")
        data = router["route_data"]
        if found := _LOOKUP.search(data):
            yield from ((name, hosts.split()[0]) for name, hosts in self._entries(router, found[3]).items() if hosts)
        elif data and "$" not in data:
            yield "*", data.split()[0]
        elif data:
            self._left_out(router, f"its route_data is an expression: {data[:60]}")

    def _place(self, router: Block, hosts: str) -> str:
        """``host:port`` of the first server."""
        names = parted(hosts)
        port = self._transport(router)["port"] or "25"
        match = re.fullmatch(r"\[?([\w.-]+)\]?(?::(\d+))?", names[0]) if names else None
        if match is None:
            self._left_out(router, f"{hosts} is no server")
            return ""
        if len(names) > 1:
            self._note(f"{router.place}: router {router.name}: of its servers {match[1]} was taken")
        return f"{match[1]}:{match[2] or {'smtp': '25', 'submission': '587'}.get(port, port)}"

    def _route(self, router: Block, domain: str, place: str) -> None:
        is_lmtp = self._transport(router)["protocol"] == "lmtp"
        key = "host" if is_lmtp else SERVER
        known = {(key, place): lane for lane, (key, place, _) in self.lanes.items()}
        lane = known.get((key, place)) or f"route_{len(self.lanes) + 1}"
        self.lanes.setdefault(lane, (key, place, f"router {router.name}"))
        self.rules.append((domain, lane, f"router {router.name}"))

    def _is_conditional(self, router: Block) -> bool:
        for name in _CONDITIONS:
            if router[name]:
                self._left_out(
                    router, f"it has {name} = {router[name][:60]}: [[route]] knows sender and recipient alone"
                )
                return True
        return False

    def _transport(self, router: Block) -> Block:
        return self._conf.blocks["transports"].get(router["transport"], router)

    # -- to people here

    def _redirect(self, router: Block) -> None:
        data = self._settled(router["data"])
        if router["file"]:
            self._note(f"{router.place}: router {router.name}: {router['file']} is a person's own: a Sieve script")
        elif data.startswith((":fail:", ":blackhole:")) or (":fail:" in data and not self._is_there(_file_in(data))):
            return  # whom there is not is refused in any case
        elif found := _LOOKUP.search(data):
            for domain in self._scope(router)[0] or self._local:
                self._aliases(router, found, domain)
        else:
            self._left_out(router, f"its data is an expression: {data[:60]}")

    def _aliases(self, router: Block, lookup: "re.Match[str]", domain: str) -> None:
        key, kind, name = lookup.groups()
        name = re.sub(r"\$\{?domain(_data)?\}?", domain, name)
        if "$" in name or (name != lookup[3] and not self._is_there(name)):
            return
        for entry, value in self._entries(router, name).items():
            local_part = "" if entry == "*" and "*" in kind else entry
            whole = local_part if "@" in local_part else f"{local_part}@{domain}"
            if key.strip() in _LOCAL_PARTS or whole.rpartition("@")[2] == domain:
                self.aliases.update(alias(whole, value, self._origin, self._local, self._note))

    def _accept(self, router: Block) -> None:
        transport, domains = self._transport(router), self._scope(router)[0] or self._local
        if router["local_part_prefix"] and not router["local_part_prefix_optional"]:
            return  # a way for who knows of it
        if found := re.search(r"lsearch[*@]*;\s*(\S+)", router["local_parts"]):
            names = self._entries(router, found[1])
            self.accounts += [name if "@" in name else f"{name}@{domain}" for domain in domains for name in names]
        elif found := _LOOKUP.search(router["condition"]):
            names = self._entries(router, found[3])
            self.accounts += [name if "@" in name else f"{name}@{domain}" for domain in domains for name in names]
        elif router["check_local_user"] == "true" and transport["driver"] == "appendfile":
            self._note(f"{router.place}: router {router.name}: each user of this machine needs `postroad account add`")
        self._store(router, transport)

    def _store(self, router: Block, transport: Block) -> None:
        """Where local mail is put: with us, or in another store."""
        source = f"transport {transport.name}"
        if transport["driver"] == "lmtp" and transport["socket"]:
            self.lanes.setdefault("local", ("socket", transport["socket"], source))
        elif transport["driver"] == "smtp" and transport["protocol"] == "lmtp" and transport["hosts"]:
            self.lanes.setdefault("local", ("host", parted(transport["hosts"])[0] + _port(transport), source))
        elif transport["driver"] != "appendfile":
            self._left_out(router, f"its transport {transport.name} runs a program: stages.command, or a Sieve script")

    def _transports(self) -> None:
        used = {router["transport"] for router in self._conf.blocks["routers"].values()}
        for transport in self._conf.blocks["transports"].values():
            for setting in transport.settings:
                if transport.name in used and setting.name in _TRANSPORT_NOTES and setting.value:
                    text = f"{setting.name} was left out: {_TRANSPORT_NOTES[setting.name]}"
                    self._note(f"{setting.place}: transport {transport.name}: {text}")


def _port(transport: Block) -> str:
    return f":{transport['port']}" if transport["port"].isdecimal() else ""


def _file_in(text: str) -> str:
    found = _LOOKUP.search(text)
    return found[3] if found else ""
