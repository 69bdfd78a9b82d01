"""Who is kept out, who has sent too much, who sends unlike themselves; and letting them do so again."""

from collections.abc import Sequence

from engine.abuse import Habits, Tables
from engine.abuse.habits import Suspect
from engine.abuse.habits import suspect as decoded
from engine.abuse.valkey import RATES, Valkey
from engine.config import Basis
from engine.directory import split
from engine.login import Guard, Rates
from engine.login.guard import NETWORK, Ban
from engine.login.rates import Sent, key_of
from engine.net.targets import overlap
from engine.operations.operator import Operator


def may_know(by: Operator, kind: str, name: str) -> bool:
    """Whether that is somebody whom the operator may know of. Networks have no domain, so they are for who has all."""
    return by.domains is None or (kind != NETWORK and "@" in name and by.may(name))


def bans(guard: Guard, by: Operator) -> list[Ban]:
    """Who is kept out for guessing, or by hand; who will be for longest comes first. Blocks. Unavailable."""
    found = (one for one in guard.bans() if may_know(by, one.kind, one.name))
    return sorted(found, key=lambda one: (-one.until, one.name))


def ban(guard: Guard, by: Operator, who: str, lasts: float) -> list[Ban]:
    """Keep an address, a network or an account out for so many seconds. Blocks. Forbidden; ValueError, Unavailable."""
    _check(by, who)
    for network in guard.settings.allow_networks:
        if overlap(str(network), who):
            raise ValueError(f"{who} is of {network}, which [login] allow_networks lets in whatever it does")
    made = guard.ban(who, lasts)
    by.tell("ban-set", who=who, until=made[0].until)
    return made


def lift_bans(guard: Guard, by: Operator, who: str) -> list[Ban]:
    """End the bans of an address, a network or an account; those that were in force. Blocks. Forbidden, Unavailable."""
    _check(by, who)
    lifted = guard.lift(who)
    if lifted:
        by.tell("ban-lifted", who=who)
    return lifted


def _check(by: Operator, who: str) -> None:
    """Forbidden."""
    if "@" in who:
        by.check(who)
    else:
        by.check_all()


def suspects(tables: Tables) -> list[Suspect]:
    """Accounts whose mail is parked, those first that have been for longest. Blocks."""
    found = (decoded(value) for _, value in tables["suspects"].local.entries())
    return sorted(found, key=lambda one: (one.since, one.account))


async def let_send(tables: Tables, by: Operator, account: str) -> bool:
    """Suspect an account no more; whether it was suspected. What is parked stays so. Forbidden, Unreachable."""
    by.check(account)
    cleared = bool(await Habits(tables).lift("@".join(split(account) or (account,))))
    if cleared:
        by.tell("suspicion-lifted", address=account)
    return cleared


async def lift_rates(config: Basis, rates: Rates, by: Operator, who: str) -> list[Sent]:
    """Forget what an account or a network has sent, on the shared server too, if there is one; that which counted.

    Forbidden. Unreachable: here it is forgotten already.
    """
    _check(by, who)
    sent = rates.lift(who)
    if sent:
        by.tell("rate-lifted", who=who)
    await forget_elsewhere(config, sent)
    return sent


async def forget_elsewhere(config: Basis, sent: Sequence[Sent]) -> None:
    """Forget it on the shared server, if there is one. Unreachable."""
    if config.shared is not None and sent:
        keys = {key_of(one.kind, one.name) for one in sent}
        await Valkey(config.shared).change(RATES, [], lambda _: (None, dict.fromkeys(keys)))
