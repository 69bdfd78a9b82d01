"""A grant: that one auditor may read certain people's mail, for a reason, until a moment. All that it can become."""

from typing import Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["waiting", "open", "over", "refused", "lapsed"]

PATIENCE = 7 * 86400.0
"""Seconds after which a grant that nobody has consented to can be consented to no more."""

LONGEST_REASON = 2000
"""Characters."""


class Whose(msgspec.Struct, frozen=True, array_like=True):
    """An account whose mail it is about. The number stays when the account is removed."""

    account: int
    address: str


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """All times are Unix times in seconds; 0: never."""

    number: int  # of the entry that says that it was asked for
    by: str  # who may look: an account's address, or a user of the machine
    whose: tuple[Whose, ...]
    reason: str
    seconds: float  # for how long it is asked
    asked: float
    needs_consent: bool
    consented_by: str = ""
    refused_by: str = ""
    begun: float = 0.0
    until: float = 0.0  # when it is over, or was ended
    tell: bool = False  # whether the people are to be told when it is over
    told: float = 0.0  # when they were

    def state(self, now: float) -> State:
        """What it is at that time."""
        if self.refused_by:
            return "refused"
        if not self.begun:
            return "waiting" if now < self.asked + PATIENCE else "lapsed"
        return "open" if self.begun <= now + 1 and now < self.until else "over"

    def covers(self, account: int) -> bool:
        """Whether it is about that account."""
        return any(one.account == account for one in self.whose)

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple([one.address for one in self.whose])
