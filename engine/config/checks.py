"""What must hold within one table, beyond the types of its values."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from engine.bounces.classes import CLASSES
from engine.bounces.patterns import BadPatterns, read
from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.files import check_readable, check_secrets
from engine.config.names import check_address, check_domain, check_name_server, is_loopback
from engine.config.oversight import check_oversight
from engine.config.tables import (
    NOWHERE,
    Batv,
    Bounces,
    DeliveryReports,
    Dns,
    Domains,
    Figures,
    History,
    Log,
    Login,
    Mailboxes,
    Metrics,
    Oidc,
    Quarantine,
    Queue,
    Quota,
    Server,
    Shared,
    Sieve,
    Srs,
    Traces,
    Verp,
    Web,
)
from engine.protocols.address import normalised_domain
from engine.protocols.sasl import MECHANISMS
from engine.wording import BUILT_IN, Flawed, Languages, Words, read_folder

SMALLEST_LOG = 64 * 1024
"""Octets: else files would be turned over all the time."""

SHORTEST_HANG = 3.0
"""Seconds: a worker may be held up for a moment without being lost."""

_ORIGIN = re.compile(
    r"https://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?|http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]{1,5})?"
)
"""In the clear on this machine alone (RFC 6454 6.2: no path)."""


def _server(document: Document, server: Server) -> None:
    if not re.fullmatch(r"[^\s@<>()\[\]]+", server.hostname):
        document.problem("server.hostname", f'{server.hostname!r} is no host name; write it like "mx.example.org"')
    if server.workers < 0:
        document.problem("server.workers", "must not be negative")
    if server.hang < SHORTEST_HANG:
        text = f"must be at least {SHORTEST_HANG:g} seconds: a sign of life comes every second"
        document.problem("server.hang", text)
    if server.opening <= 0:
        document.problem("server.opening", "must be more than nothing")
    if not 0 <= server.canary <= 100:
        document.problem("server.canary", "must be per cent, from 0 to 100")
    if server.keep_revisions < 2:
        document.problem("server.keep_revisions", "must be at least 2: the one in force, and one to go back to")


def _domains(document: Document, domains: Domains) -> None:
    for domain in domains.local:
        check_domain(document, "domains.local", domain)


def _dns(document: Document, dns: Dns) -> None:
    for address in dns.servers:
        check_name_server(document, "dns.servers", address)


def _log(document: Document, log: Log) -> None:
    if log.files < 0:
        document.problem("log.files", "must not be negative; 0 keeps none but the one that is written")
    if log.file_size < SMALLEST_LOG:
        document.problem("log.file_size", f"must be at least {SMALLEST_LOG // 1024} KiB")
    if log.file != NOWHERE and log.file.is_dir():
        document.problem("log.file", f"{log.file} is a folder; name a file in it")
    if log.syslog and not re.fullmatch(r"/.+|udp:(\[[0-9A-Fa-f:.]+\]|[\w.-]+):\d{1,5}", log.syslog):
        text = f'{log.syslog!r} is no syslog server; write it like "/dev/log" or "udp:192.0.2.1:514"'
        document.problem("log.syslog", text)
    if not (log.stderr or log.file != NOWHERE or log.journald or log.syslog):
        document.problem("log.stderr", "events would go nowhere; name a file, journald or syslog")


def _queue(document: Document, queue: Queue) -> None:
    if queue.in_flight < 0:
        document.problem("queue.in_flight", "must not be negative; 0 holds all mail in the queue")
    if not queue.retry:
        document.problem("queue.retry", 'must name at least one pause, such as ["5m"]')


SMALLEST_HISTORY = 16_000_000
"""Octets: the slices of a smaller one would hold next to nothing."""


def _history(document: Document, history: History) -> None:
    if history.size < SMALLEST_HISTORY:
        text = f'must be at least {SMALLEST_HISTORY // 10**6} MB; level = "off" keeps nothing'
        document.problem("history.size", text)
    if history.keep < 60:
        document.problem("history.keep", 'must be at least a minute; level = "off" keeps nothing')


LONGEST_FIGURES = 3 * 366 * 86_400
"""Seconds: of more hours, with all that can be in them, the room on disk would not do."""


def _figures(document: Document, figures: Figures) -> None:
    if figures.keep and figures.keep < 86_400:
        document.problem("figures.keep", "must be at least a day; 0 keeps nothing")
    if figures.keep > LONGEST_FIGURES:
        document.problem("figures.keep", "must be at most three years")


def _mailboxes(document: Document, mailboxes: Mailboxes) -> None:
    if mailboxes.readers < 0:
        document.problem("mailboxes.readers", "must not be negative")
    for name in ("max_connections", "max_connections_per_network"):
        if getattr(mailboxes, name) < 1:
            document.problem(f"mailboxes.{name}", "must be at least 1")
    if mailboxes.rspamd_controller and not re.fullmatch(r"http://[^\s/?#@]+/?", mailboxes.rspamd_controller):
        text = f'{mailboxes.rspamd_controller!r} is no controller; write it like "http://127.0.0.1:11334"'
        document.problem("mailboxes.rspamd_controller", text)
    if mailboxes.rspamd_password_file is not None:
        check_readable(document, "mailboxes.rspamd_password_file", mailboxes.rspamd_password_file)


def _login(document: Document, login: Login) -> None:
    for name in ("network_guesses", "account_guesses"):
        if getattr(login, name) < 1:
            document.problem(f"login.{name}", "must be at least 1")
    for name, bits in (("network_ipv4", 32), ("network_ipv6", 128)):
        if not 0 <= getattr(login, name) <= bits:
            document.problem(f"login.{name}", f"must be a number of bits from 0 to {bits}")
    for name in login.mechanisms:
        if name not in MECHANISMS:
            document.problem("login.mechanisms", f"there is no mechanism {name}{nearest(name, MECHANISMS)}")


def _quota(document: Document, quota: Quota) -> None:
    if quota.messages < 0:
        document.problem("quota.messages", "must not be negative; 0: as many as it likes")
    if not all(1 <= share <= 100 for share in quota.warn):
        document.problem("quota.warn", "must be per cent, from 1 to 100")


def _sieve(document: Document, sieve: Sieve) -> None:
    for name in ("scripts", "script_size", "total_size", "redirects", "sends_per_day"):
        if getattr(sieve, name) < 0:
            document.problem(f"sieve.{name}", "must not be negative")
    for name in ("before", "after"):
        for path in getattr(sieve, name):
            check_readable(document, f"sieve.{name}", path)
    if sieve.include != NOWHERE and not sieve.include.is_dir():
        document.problem("sieve.include", f"{sieve.include} is no folder")


def _oidc(document: Document, oidc: Oidc) -> None:
    if not re.match(r"https://|http://(127\.|\[::1\]|localhost[:/])", oidc.issuer):
        document.problem("oidc.issuer", f'{oidc.issuer!r} is no issuer; write it like "https://id.example.org"')
    if not oidc.audience:
        document.problem("oidc.audience", "must name whom a token is for: else any program's token would do")
    if bool(oidc.client_id) != bool(oidc.client_secret_file):
        document.problem("oidc.client_id", "goes together with client_secret_file")
    if oidc.client_secret_file:
        check_readable(document, "oidc.client_secret_file", oidc.client_secret_file)


def _srs(document: Document, srs: Srs) -> None:
    check_domain(document, "srs.domain", srs.domain)
    check_secrets(document, "srs.secret_file", srs.secret_file)


def _batv(document: Document, batv: Batv) -> None:
    check_secrets(document, "batv.secret_file", batv.secret_file)


def _verp(document: Document, verp: Verp) -> None:
    check_address(document, "verp.address", verp.address)
    check_secrets(document, "verp.secret_file", verp.secret_file)
    if not (verp.senders or verp.tenants or verp.lists):
        document.problem("verp", "names no mail; say senders, tenants, or lists = true")
    for sender in verp.senders:
        if "@" in sender.removeprefix("@"):
            check_address(document, "verp.senders", sender)
        else:
            check_domain(document, "verp.senders", sender.removeprefix("@"))


def read_languages(document: Document, reports: DeliveryReports) -> Languages:
    """The words of the folder, and when each language is taken."""
    own: dict[str, Words] = {}
    if reports.words != NOWHERE:
        try:
            own = _words_in(reports.words)
        except (OSError, Flawed) as error:
            for line in str(error).splitlines():
                document.problem("delivery_reports.words", line)
    known = {*own, *BUILT_IN}
    for key, language in (("language", reports.language), *((f"domains.{name}", name) for name in reports.domains)):
        if language not in known:
            document.problem(
                f"delivery_reports.{key}", f"there are no words for {language!r}{nearest(language, known)}"
            )
    domains: dict[str, str] = {}
    for language, named in reports.domains.items():
        for domain in named:
            check_domain(document, f"delivery_reports.domains.{language}", domain)
            domains[normalised_domain(domain)] = language
    return Languages(own, reports.language, domains, reports.follow_message)


def _words_in(folder: Path) -> dict[str, Words]:
    if not folder.is_dir():
        raise Flawed(f"{folder} is no folder")
    return read_folder(folder)


def check_quarantine(document: Document, quarantine: Quarantine) -> None:
    if quarantine.digest != "off":
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", quarantine.digest):
            document.problem("quarantine.digest", f'{quarantine.digest!r} is no time of day; write "08:00", or "off"')
        if quarantine.secret_file is None:
            document.problem("quarantine.digest", "needs secret_file, by which what people answer is known")
    if quarantine.secret_file is not None:
        check_secrets(document, "quarantine.secret_file", quarantine.secret_file)
    if quarantine.digest_from:
        check_address(document, "quarantine.digest_from", quarantine.digest_from)
    if quarantine.url and not re.match(r"https?://[^\s/?#]+[^\s?#]*$", quarantine.url):
        document.problem(
            "quarantine.url", f'{quarantine.url!r} is no page; write it like "https://mail.example.org/quarantine"'
        )


def read_classes(document: Document, bounces: Bounces) -> frozenset[str]:
    """Names of all classes of replies: ours, and those of the operator's patterns."""
    if bounces.patterns == NOWHERE:
        return frozenset(CLASSES)
    try:
        return frozenset((*CLASSES, *read(bounces.patterns).classes))
    except BadPatterns as error:
        document.problem("bounces.patterns", f"{bounces.patterns}: {error}")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        document.problem("bounces.patterns", f"cannot read {bounces.patterns}: {reason}")
    return frozenset(CLASSES)


def _shared(document: Document, shared: Shared) -> None:
    try:
        assert shared.place
    except ValueError as error:
        document.problem("shared.url", str(error))
    if shared.password_file:
        check_readable(document, "shared.password_file", shared.password_file)


def _metrics(document: Document, metrics: Metrics) -> None:
    if metrics.token_file != NOWHERE:
        check_secrets(document, "metrics.token_file", metrics.token_file)


def _web(document: Document, web: Web) -> None:
    if web.processes < 1:
        document.problem("web.processes", "must be at least 1")
    if web.origin and not _ORIGIN.fullmatch(web.origin):
        text = f'{web.origin!r} is no origin; write it like "https://mail.example.org", with nothing behind the host'
        document.problem("web.origin", text)
    for key in ("idle", "lifetime", "max_connections", "max_connections_per_network"):
        if getattr(web, key) <= 0:
            document.problem(f"web.{key}", "must be more than nothing")


def _traces(document: Document, traces: Traces) -> None:
    try:
        in_the_clear = traces.in_the_clear
    except ValueError as error:
        document.problem("traces.endpoint", str(error))
    else:
        if in_the_clear and traces.headers_file != NOWHERE and not is_loopback(in_the_clear):
            text = "what it holds would travel in the clear; write an endpoint of https://"
            document.problem("traces.headers_file", text)
    if not 0 <= traces.share <= 100:
        document.problem("traces.share", "must be per cent, from 0 to 100")
    if not 0 < traces.timeout <= 60:
        document.problem("traces.timeout", "must be more than nothing, and at most a minute")
    if traces.trust != NOWHERE:
        check_readable(document, "traces.trust", traces.trust)
    try:
        traces.headers()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        document.problem("traces.headers_file", f"cannot read {traces.headers_file}: {reason}")
    if not _has("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"):
        document.problem("traces", "needs packages that are not installed: pip install 'postroad[traces]'")


def _has(*modules: str) -> bool:
    try:
        return all(find_spec(module) is not None for module in modules)
    except ModuleNotFoundError:  # of one above it
        return False


CHECKS: dict[str, Callable[[Document, Any], None]] = {
    "server": _server, "domains": _domains, "dns": _dns, "log": _log, "queue": _queue, "mailboxes": _mailboxes,
    "login": _login, "quota": _quota, "sieve": _sieve, "oidc": _oidc, "srs": _srs, "batv": _batv, "verp": _verp,
    "shared": _shared, "metrics": _metrics,
    "history": _history, "figures": _figures, "web": _web, "traces": _traces, "oversight": check_oversight,
}  # fmt: skip
"""By table."""
