"""What messages have in common: the groups in which they are counted."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from engine.condition.meaning import folded
from engine.message import TENANT
from engine.queue.replies import alike, outline, said

Seen: TypeAlias = Any  # a record, or those of its fields that were asked for


class Grouping(NamedTuple):
    """By what messages are counted: a value of each that is quickly had, and the names that stand for such a value."""

    values: Callable[[Sequence[Seen]], Iterable[Hashable]]
    names: Callable[[Any], Iterable[str]]


def _behind_at(address: str) -> str:
    """The address from its last @ on; where it has none, something without one."""
    return address[address.rfind("@") :]


def _domain(behind: str) -> str:
    return folded(behind[1:]) if behind.startswith("@") else ""


def _recipients(page: Sequence[Seen]) -> list[Hashable]:
    """Of nearly all a single text: what stands behind the recipient's @."""
    return [
        (address := some[0].address)[address.rfind("@") :]
        if len(some := one.envelope.recipients) == 1
        else tuple([_behind_at(each.address) for each in some])
        for one in page
    ]


def _domains(value: str | tuple[str, ...]) -> Iterable[str]:
    return (_domain(value),) if isinstance(value, str) else [_domain(one) for one in value] or ("",)


def _lanes(page: Sequence[Seen]) -> Iterator[Hashable]:
    for one in page:
        yield (one.lane, *[some.lane for some in one.envelope.recipients if some.lane])


GROUPED: Mapping[str, Grouping] = {
    "domain": Grouping(_recipients, _domains),
    "site": Grouping(lambda page: [one.sites for one in page], lambda sites: sites or ("",)),
    "sender": Grouping(lambda page: [one.envelope.sender for one in page], lambda sender: (folded(sender),)),
    "sender.domain": Grouping(
        lambda page: [_behind_at(one.envelope.sender) for one in page], lambda behind: (_domain(behind),)
    ),
    "tenant": Grouping(lambda page: [str(one.envelope.facts.get(TENANT, "")) for one in page], lambda name: (name,)),
    "reply": Grouping(lambda page: [outline(one.reason) for one in page], lambda outlined: (alike(said(outlined)),)),
    "line": Grouping(lambda page: [one.line for one in page], lambda line: (line,)),
    "lane": Grouping(_lanes, lambda lanes: lanes),
    "state": Grouping(lambda page: [one.state for one in page], lambda state: (state,)),
}
