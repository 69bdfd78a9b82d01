"""What people do with grants to look at others' mail: ask for one, consent, end it, take mail out by it.

Each leaves its entry in the audit log before it is done, or in the same transaction.
"""

import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec

from engine.config import Oversight as Settings
from engine.mailbox import Mailboxes
from engine.operations.auditing import noted
from engine.operations.moments import Moment, at, moment
from engine.operations.operator import Operator
from engine.oversight import Grant, Oversight, Refusal, State, Whose
from engine.oversight.export import Manifest, Out, Place, problems, read, written
from engine.units import spelled


class GrantRow(msgspec.Struct, frozen=True, kw_only=True):
    """A grant as it is listed. ``addresses``: of the accounts whose mail it is about."""

    number: int
    state: State
    by: str
    addresses: tuple[str, ...]
    reason: str
    seconds: float
    asked: Moment
    consented_by: str
    refused_by: str
    begun: Moment | None
    until: Moment | None
    told: Moment | None


def ask(
    opened: Oversight, settings: Settings, by: Operator, whose: Sequence[Whose], reason: str, *, seconds: float
) -> Grant:
    """Ask to look at the mail of these accounts for so long. It begins at once unless it takes consent. Refusal."""
    by.check_all()
    if not 0 < seconds <= settings.longest:
        raise Refusal(f"a grant lasts {spelled(settings.longest)} at most: [oversight] longest")
    grant, entry = opened.ask(
        by.name, whose, reason, seconds=float(seconds), consent=settings.consent,
        tell=settings.notice != "never", peer=by.peer,
    )  # fmt: skip
    noted(by, entry)
    return grant


def consent(opened: Oversight, by: Operator, number: int) -> Grant:
    """Let somebody else's grant begin. Refusal."""
    by.check_all()
    grant, entry = opened.consent(number, by.name, by.peer)
    noted(by, entry)
    return grant


def refuse(opened: Oversight, by: Operator, number: int) -> Grant:
    """Let somebody else's grant never begin. Refusal."""
    by.check_all()
    grant, entry = opened.refuse(number, by.name, by.peer)
    noted(by, entry)
    return grant


def end(opened: Oversight, by: Operator, number: int) -> Grant:
    """Let a grant be over before its time. Refusal."""
    by.check_all()
    grant, entry = opened.end(number, by.name, by.peer)
    noted(by, entry)
    return grant


def look(opened: Oversight, by: Operator, number: int, what: str, **details: object) -> Grant:
    """Note what somebody is about to do by a grant of theirs, which must be open. Refusal: it is not to be done."""
    grant, entry = opened.look(number, by.name, what, by.peer, **details)
    noted(by, entry)
    return grant


def listed(opened: Oversight, by: Operator, now: float | None = None) -> list[GrantRow]:
    """All grants that there ever were, the newest first."""
    by.check_all()
    moment_now = time.time() if now is None else now
    return [row(grant, moment_now) for grant in opened.grants()]


def row(grant: Grant, now: float) -> GrantRow:
    return GrantRow(
        number=grant.number,
        state=grant.state(now),
        by=grant.by,
        addresses=grant.addresses,
        reason=grant.reason,
        seconds=grant.seconds,
        asked=at(grant.asked),
        consented_by=grant.consented_by,
        refused_by=grant.refused_by,
        begun=moment(grant.begun),
        until=moment(grant.until),
        told=moment(grant.told),
    )


def export(
    opened: Oversight,
    mailboxes: Mailboxes,
    by: Operator,
    number: int,
    folder: Path,
    *,
    query: str = "",
    only: Collection[Place] | None = None,
    step: Callable[[int], None] = lambda _: None,
) -> Manifest:
    """Take out the mail that a grant is about, or only some messages, which ``query`` has found; into a new folder.

    Refusal, OSError, StorageError.
    """
    grant, entry = opened.look(
        number, by.name, "export-begun", by.peer, query=query, messages=len(only) if only is not None else "all"
    )
    noted(by, entry)
    folder.mkdir(mode=0o700, parents=True)
    out = Out(mailboxes, step)
    size, digest = out.write(folder, grant.whose, only)
    manifest = Manifest(
        entry=entry.number, grant=grant.number, by=grant.by, reason=grant.reason, consented_by=grant.consented_by,
        begun=grant.begun, until=grant.until, accounts=grant.whose, query=query, made=time.time(), size=size,
        sha256=digest, messages=tuple(out.messages),
    )  # fmt: skip
    manifest_digest = written(folder, manifest)
    details = {
        "grant": number, "export": entry.number, "messages": len(out.messages), "size": size, "sha256": digest,
        "manifest_sha256": manifest_digest,
    }  # fmt: skip
    noted(by, opened.write("export-done", by.name, grant.addresses, by.peer, **details))
    return manifest


def verified(folder: Path, opened: Oversight | None) -> tuple[Manifest, list[str]]:
    """The manifest of an export, and what is not as it says; with the audit log also whether that is the one it knows.

    OSError, ValueError.
    """
    manifest, digest = read(folder)
    found = list(problems(folder, manifest))
    if opened is not None:
        done = [
            one
            for one in opened.entries(manifest.entry)
            if one.what == "export-done" and one.details.get("export") == manifest.entry
        ]
        if not done:
            found.append(f"the audit log knows of no export {manifest.entry}")
        elif done[0].details.get("manifest_sha256") != digest:
            found.append("the manifest is not the one that the audit log knows")
    return manifest, found
