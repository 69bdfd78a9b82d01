"""Who is kept out, who has sent too much, who sends unlike themselves; and letting them do so again."""

from collections.abc import Sequence

from engine.abuse import Habits, Tables
from engine.abuse.habits import Suspect
from engine.abuse.habits import suspect as decoded
from engine.abuse.valkey import RATES, Valkey
from engine.config import Config
from engine.directory import split
from engine.login import Rates
from engine.login.rates import Sent, key_of


def suspects(tables: Tables) -> list[Suspect]:
    """Accounts whose mail is parked, those first that have been for longest. Blocks."""
    found = (decoded(value) for _, value in tables["suspects"].local.entries())
    return sorted(found, key=lambda one: (one.since, one.account))


async def clear(tables: Tables, account: str) -> bool:
    """Suspect an account no more; whether it was suspected. What is parked stays so."""
    return bool(await Habits(tables).lift("@".join(split(account) or (account,))))


async def lift_rates(config: Config, rates: Rates, who: str) -> list[Sent]:
    """Forget what an account or a network has sent, on the shared server too, if there is one; that which counted.

    Unreachable: here it is forgotten already.
    """
    sent = rates.lift(who)
    await forget_elsewhere(config, sent)
    return sent


async def forget_elsewhere(config: Config, sent: Sequence[Sent]) -> None:
    """Forget it on the shared server, if there is one. Unreachable."""
    if config.shared is not None and sent:
        keys = {key_of(one.kind, one.name) for one in sent}
        await Valkey(config.shared).change(RATES, [], lambda _: (None, dict.fromkeys(keys)))
