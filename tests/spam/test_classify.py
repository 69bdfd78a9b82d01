"""Robinson's estimate and Fisher's method: what must hold whatever was learnt."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.spam.classify import STRONGEST, Count, chi_square, combined, estimate, opinion

PROBABILITIES = st.lists(st.floats(0, 1), max_size=400)
COUNTS = st.builds(Count, st.integers(0, 1000), st.integers(0, 1000))
MESSAGES = st.builds(Count, st.integers(1000, 10_000), st.integers(1000, 10_000))


@pytest.mark.parametrize(
    ("value", "freedom", "probability"),
    # Table of critical values: NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4.
    [(5.991, 2, 0.05), (9.210, 2, 0.01), (18.307, 10, 0.05), (124.342, 100, 0.05), (0, 10, 1)],
)
def test_chi_square(value: float, freedom: int, probability: float) -> None:
    assert chi_square(value, freedom) == pytest.approx(probability, abs=2e-4)


def test_far_away_it_does_not_overflow() -> None:
    assert chi_square(5000, 300) == pytest.approx(0)
    assert chi_square(1600, 1500) == pytest.approx(chi_square(1399, 1500), abs=1)
    assert chi_square(1402, 1400) == pytest.approx(chi_square(1398, 1400), abs=0.05), "where the way changes"
    assert math.isfinite(chi_square(1e6, 300))


@given(PROBABILITIES)
def test_combined_is_a_probability_and_even_handed(found: list[float]) -> None:
    one = combined(found)
    assert 0 <= one <= 1
    assert combined([1 - each for each in found]) == pytest.approx(1 - one, abs=1e-6)


@given(PROBABILITIES, st.floats(0.5, 1))
def test_one_more_spammy_token_is_never_a_sign_of_ham(found: list[float], more: float) -> None:
    changed = [max(each, more) for each in found]
    assert combined(changed) >= combined(found) - 1e-9


@given(COUNTS, MESSAGES, st.floats(0, 1))
def test_an_estimate_is_a_probability(count: Count, messages: Count, prior: float) -> None:
    one = estimate(count, messages, prior)
    assert 0 <= one <= 1
    assert estimate(count._replace(spam=count.spam + 1), messages, 0.5) >= estimate(count, messages, 0.5) - 1e-9


def test_what_was_never_seen_says_nothing() -> None:
    assert estimate(Count(), Count(10, 10)) == 0.5
    assert estimate(Count(), Count(10, 10), 0.9) == 0.9
    assert opinion({}).probability == 0.5
    assert opinion({"a": 0.55}).clues == ()


def test_how_many_messages_there_are_of_each_kind_does_not_count() -> None:
    assert estimate(Count(10, 1), Count(100, 10)) == pytest.approx(0.5)


def test_the_strongest_tokens_count() -> None:
    found = opinion({f"weak{number}": 0.65 for number in range(400)} | {"strong": 0.01})
    assert len(found.clues) == STRONGEST
    assert found.clues[0].token == "strong"
    assert opinion({"cheap": 0.99, "pills": 0.98, "offer": 0.97}).word == "spam"
    assert opinion({"meeting": 0.01, "thanks": 0.02, "minutes": 0.03}).word == "ham"
    assert opinion({"cheap": 0.99, "meeting": 0.01}).word == "unsure"
