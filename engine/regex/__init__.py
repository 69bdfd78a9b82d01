"""POSIX extended regular expressions (draft-ietf-sieve-regex) in time linear in the text, whatever the expression.

Python's own ``re`` goes back and tries again, so that ``(a+)+$`` against a few dozen letters takes hours. This is the
other way to match (Thompson 1968; Pike): all ways of matching go through the text side by side. Whether something
matches is found by an automaton that is built as far as the text needs it; where the groups are, by a second walk that
keeps them. The leftmost match counts, of several the longest.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from engine.regex.program import ANY, BEGIN, CHARACTER, END, MATCH, SAVE, SET, SPLIT, Instruction, program

WALK_COST, GROUPS_COST = 4, 50
"""What a step costs in characters that a plain search looks at, measured roughly."""

_LEARNT = 5_000
"""Steps of an automaton that are kept: some hundred octets each."""

Spend = Callable[[int], None]


class _State:
    """Where one may be in a program at one place of a text, and where each character leads from there."""

    __slots__ = ("after", "matches", "places")

    def __init__(self, places: tuple[int, ...], *, matches: bool) -> None:
        self.places = places
        self.matches = matches
        self.after: dict[str, _State] = {}


class Regex:
    """A compiled expression. ``spend`` is told of the work that matching does, and may stop it by raising."""

    def __init__(self, code: Sequence[Instruction], *, casemap: bool) -> None:
        self._code = code
        self._fold: Callable[[str], str] = str.casefold if casemap else str
        self._groups = max((first for kind, first, _ in code if kind == SAVE), default=1) // 2 + 1
        self._states: dict[tuple[int, ...], _State] = {}
        self._learnt = 0
        self._begins: dict[str, bool] = {}
        self._again = self._closure([0], at_start=False)

    def matches(self, text: str, spend: Spend) -> bool:
        """Whether the expression matches anywhere in the text."""
        spend(len(text) * WALK_COST + WALK_COST)
        state = self._state(self._closure([0], at_start=True))
        for character in text:
            if state.matches:
                return True
            after = state.after.get(character)
            if after is None:
                spend(len(state.places) * GROUPS_COST)
                after = state.after[character] = self._step(state, character)
            state = after
        return len(self._code) - 1 in self._closure(list(state.places), at_start=not text, at_end=True)

    def groups(self, text: str, spend: Spend) -> list[str] | None:
        """The whole match and what each group matched, "" for one that had no part in it; None for no match."""
        spend(len(text) * WALK_COST)
        best: list[int] | None = None
        threads: list[tuple[int, list[int]]] = []
        for place in range(len(text) + 1):
            if not threads and best is None and 0 < place < len(text) and not self._may_begin(text[place]):
                continue
            spend((len(threads) + 1) * GROUPS_COST)
            if best is None:
                threads.append((0, [-1] * (2 * self._groups)))
            elif not threads:
                break
            threads, found = self._advance(threads, text, place)
            if found is not None and (best is None or (found[0] == best[0] and found[1] > best[1])):
                best = found
            if best is not None:
                start = best[0]
                threads = [thread for thread in threads if thread[1][0] == start]
        if best is None:
            return None
        pairs = zip(best[::2], best[1::2], strict=True)
        return [text[start:end] if end >= 0 else "" for start, end in pairs]

    def _state(self, places: tuple[int, ...]) -> _State:
        known = self._states.get(places)
        if known is None:
            known = self._states[places] = _State(places, matches=len(self._code) - 1 in places)
        return known

    def _step(self, state: _State, character: str) -> _State:
        self._learnt += 1
        if self._learnt > _LEARNT:
            for known in self._states.values():
                known.after.clear()
            self._states.clear()
            self._learnt = 0
        reached = [place + 1 for place in state.places if self._takes(place, character)]
        return self._state(tuple(sorted({*self._closure(reached, at_start=False), *self._again})))

    def _may_begin(self, character: str) -> bool:
        """Whether a match may begin with this character, which is not the first of the text."""
        known = self._begins.get(character)
        if known is None:
            code = self._code
            known = any(code[place][0] in (MATCH, END) or self._takes(place, character) for place in self._again)
            if len(self._begins) < _LEARNT:
                self._begins[character] = known
        return known

    def _takes(self, place: int, character: str) -> bool:
        kind, first, _ = self._code[place]
        if kind == CHARACTER:
            return bool(self._fold(character) == first)
        if kind == SET:
            return bool(first[0](character, self._fold))
        return kind == ANY

    def _closure(self, places: list[int], *, at_start: bool, at_end: bool = False) -> tuple[int, ...]:
        """Where one is without taking a character. What waits for the end stays, as long as it has not come."""
        seen, stack = set(), list(places)
        while stack:
            place = stack.pop()
            if place in seen:
                continue
            seen.add(place)
            kind, first, second = self._code[place]
            if kind == SPLIT:
                stack += [first, second]
            elif kind == SAVE or (kind == BEGIN and at_start) or (kind == END and at_end):
                stack.append(place + 1)
        return tuple(sorted(seen))

    def _advance(
        self, threads: list[tuple[int, list[int]]], text: str, place: int
    ) -> tuple[list[tuple[int, list[int]]], list[int] | None]:
        """The threads behind the character at ``place``, the preferred first; and the groups, if one has matched."""
        seen: set[int] = set()
        found = None
        after = []
        stack = threads[::-1]
        while stack:
            at, saved = stack.pop()
            if at in seen:
                continue
            seen.add(at)
            kind, first, second = self._code[at]
            if kind == SPLIT:
                stack += [(second, saved), (first, saved)]
            elif kind == SAVE:
                saved = [*saved]  # others hold the same list
                saved[first] = place
                stack.append((at + 1, saved))
            elif kind == MATCH:
                found = found or saved
            elif kind in (BEGIN, END):
                if place == (0 if kind == BEGIN else len(text)):
                    stack.append((at + 1, saved))
            elif place < len(text) and self._takes(at, text[place]):
                after.append((at + 1, saved))
        return after, found


@lru_cache(maxsize=256)
def compiled(pattern: str, *, casemap: bool, limit: int) -> Regex:
    """The expression, ready. ``casemap``: letters match in either case. ValueError says what is wrong with it.

    ``limit`` is how many steps it may have when its repetitions are written out.
    """
    fold: Callable[[str], str] = str.casefold if casemap else str
    return Regex(program(pattern, fold, limit), casemap=casemap)
