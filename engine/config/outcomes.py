"""`[webhook.NAME]` and `[suppression]`: who hears of what was not delivered, and who is not written to again."""

import dataclasses
import fnmatch
from collections.abc import Collection, Iterator, Mapping

from engine.config.document import Document
from engine.config.errors import nearest
from engine.config.files import check_readable, check_secrets
from engine.config.names import is_loopback
from engine.config.tables import NOWHERE, Fill, Webhook
from engine.units import Duration

EVENTS = ("failed", "deferred", "returned", "complaint", "unsubscribed", "suppressed", "action", "lifted")
"""What a webhook may hear of."""

_FILLS = (
    Fill(name="invalid-recipient", after=2),
    Fill(name="inactive-mailbox", after=3, within=Duration("60d"), keep=Duration("13w")),
    Fill(name="complaint", keep=Duration("0s")),
    Fill(name="unsubscribe", keep=Duration("0s")),
)
"""The usual ones. Twice, for a server may be wrong once; complaints are never forgotten."""


def read_webhooks(document: Document, classes: Collection[str]) -> tuple[Webhook, ...]:
    """All of them, in the order of the file. ``classes``: all that replies may have."""
    return tuple(_webhooks(document, classes))


def _webhooks(document: Document, classes: Collection[str]) -> Iterator[Webhook]:
    tables = document.table("webhook")
    for name in tables:
        place = f"webhook.{name}"
        table = document.table(name, tables, place)
        if "name" in table:
            document.problem(f"{place}.name", f"unknown key: the name is that of the table, {name}")
            continue
        found: Webhook = document.section(place, Webhook, table)
        if "url" in table and "secret_file" in table:
            _check_webhook(document, place, found, classes)
        yield dataclasses.replace(found, name=name)


def _check_webhook(document: Document, place: str, webhook: Webhook, classes: Collection[str]) -> None:
    try:
        host, _, under_tls, _ = webhook.place
    except ValueError as error:
        document.problem(f"{place}.url", str(error))
    else:
        if not under_tls and not is_loopback(host):
            document.problem(f"{place}.url", "must begin with https://, for addresses of people are in what is posted")
    check_secrets(document, f"{place}.secret_file", webhook.secret_file)
    if webhook.trust != NOWHERE:
        check_readable(document, f"{place}.trust", webhook.trust)
    for name in webhook.events:
        if not fnmatch.filter(EVENTS, name):
            document.problem(f"{place}.events", f"there is no event {name}{nearest(name, EVENTS)}")
    for name in webhook.classes:
        if name not in classes:
            document.problem(f"{place}.classes", f"there is no class {name}{nearest(name, classes)}")
    for key in ("most", "batch"):
        if getattr(webhook, key) < 1:
            document.problem(f"{place}.{key}", "must be at least 1")
    if not webhook.retry:
        document.problem(f"{place}.retry", 'must name at least one pause, such as ["10s"]')


def read_suppression(document: Document, classes: Collection[str]) -> Mapping[str, Fill] | None:
    """By class, what puts recipients onto the list; None where there is no such table."""
    if "suppression" not in document.tables:
        return None
    fills = {fill.name: fill for fill in _FILLS}
    tables = document.table("suppression")
    for name in tables:
        place = f"suppression.{name}"
        if name not in classes:
            document.problem(place, f"there is no class {name}{nearest(name, classes)}")
            continue
        table = document.table(name, tables, place)
        if "name" in table:
            document.problem(f"{place}.name", "unknown key: the name is that of the table")
            continue
        usual = fills.get(name, Fill())
        written = {key: getattr(usual, key) for key in ("after", "within", "keep")}
        found: Fill = document.section(place, Fill, table)
        written |= {key: getattr(found, key) for key in table if key in written}
        fills[name] = Fill(name=name, **written)
        if fills[name].after < 0:
            document.problem(f"{place}.after", "must not be negative; 0: never")
    return fills
