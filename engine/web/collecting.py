"""What all workers measure, gathered for whoever asks: at most once a second, however many ask."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import trio

from engine.observe.measures import Sample
from engine.runtime.services import MEASURES_SERVICE
from engine.web.asking import Asking

FRESH = 1.0
"""Seconds for which an answer holds: so the workers are disturbed no more by a hundred who ask than by one."""

PATIENCE = 2.0
"""Seconds that a worker has to answer; a scrape gives up after ten (Prometheus: scrape_timeout)."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What there is to know now."""

    expected: Sequence[str]  # the workers that the configuration in force asks for
    samples: Mapping[str, Sequence[Sample]]  # by worker; one that did not answer is missing
    families: Mapping[str, tuple[str, str]]  # by name: its kind, and what is meant

    def values(self, name: str) -> list[tuple[str, Mapping[str, str], float]]:
        """The worker, the labels and the number of all samples of that name."""
        return [
            (worker, dict(labels), value)
            for worker, samples in self.samples.items()
            for found, labels, value in samples
            if found == name
        ]


class Collecting:
    """Asks when it is asked. ``expected``: names of the workers that there should be."""

    def __init__(self, asking: Asking, expected: Callable[[], Sequence[str]]) -> None:
        self._asking = asking
        self._expected = expected
        self._turn = trio.Lock()
        self._latest: Collected | None = None
        self._when = 0.0

    async def now(self) -> Collected:
        """What is known, no older than FRESH, of the workers that there should be now."""
        async with self._turn:
            expected, latest = self._expected(), self._latest
            if latest is None or latest.expected != expected or trio.current_time() - self._when >= FRESH:
                latest = self._latest = await self._collected(expected)
                self._when = trio.current_time()
            return latest

    async def _collected(self, expected: Sequence[str]) -> Collected:
        words: dict[str, dict[str, list[str]]] = {}

        async def ask_for_words() -> None:
            words.update(await self._asking.ask_all(expected, MEASURES_SERVICE, "families", PATIENCE))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_for_words)
            answers = await self._asking.ask_all(expected, MEASURES_SERVICE, "measures", PATIENCE)
        return Collected(
            expected,
            {worker: [_sample(*one) for one in answers[worker]] for worker in sorted(answers)},
            {name: (kind, meaning) for one in words.values() for name, (kind, meaning) in one.items()},
        )


def _sample(name: str, labels: Sequence[Sequence[str]], value: float) -> Sample:
    return name, tuple((label, said) for label, said in labels), value
