"""Soft top-k."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.strategies.soft_topk import SoftTopk
from engine.events import Status
from tests.components.strategies.asked import ask, names, weights
from tests.make import book, day

NAN = np.nan
SCORE = [0.4, 0.3, 0.2, 0.1]


def made(n: int = 4, **options: Any) -> SoftTopk:
    return SoftTopk(universe=names(n), name="soft", **({"topk": 2, "risk_degree": 0.9} | options))


def where(*qty: float, cash: float = 0.0, equity: float = 1000.0) -> Any:
    """Marks of 10; cash so that equity is as said."""
    return book(day(0), [10.0] * len(qty), cash=equity - 10.0 * sum(qty) + cash, qty=list(qty))


def test_an_empty_book_buys_up_to_the_limit() -> None:
    assert weights(made(), SCORE, where(0, 0, 0, 0)) == [0.45, 0.45, 0, 0]
    assert weights(made(impact_limit=0.1), SCORE, where(0, 0, 0, 0)) == [0.1, 0.1, 0, 0]


def test_what_is_not_among_the_best_leaves_at_the_pace_of_the_limit_and_pays_for_the_others() -> None:
    found = weights(made(impact_limit=0.2), SCORE, where(45, 0, 45, 0))
    assert found == pytest.approx([0.45, 0.2, 0.25, 0], abs=1e-9)
    assert weights(made(), SCORE, where(45, 0, 45, 0)) == pytest.approx([0.45, 0.45, 0, 0], abs=1e-9)


def test_what_is_too_large_is_reduced_and_shortfalls_share_the_budget_in_proportion() -> None:
    found = weights(made(topk=3), SCORE, where(60, 20, 10, 0))  # ideal 0.3: 0.3 released for lacks of 0.1 and 0.2
    assert found == pytest.approx([0.3, 0.3, 0.3, 0], abs=1e-9)
    found = weights(made(topk=3, impact_limit=0.15), SCORE, where(60, 20, 10, 0))
    assert found == pytest.approx([0.45, 0.25, 0.2, 0], abs=1e-9)


def test_a_name_at_its_weight_keeps_its_exact_shares() -> None:
    target = ask(made(), SCORE, book(day(0), [10.0, 10.0, 10.0, 10.0], cash=100.0, qty=[45.0, 45.0, 0, 0]))
    assert target is not None
    assert target.value.tolist() == [45.0, 45.0, 0.0, 0.0]


def test_rule_30_what_has_no_bar_is_neither_sold_nor_bought() -> None:
    status = [0, Status.HALTED, Status.MISSING, 0]
    found = weights(made(), SCORE, where(0, 0, 50, 0), status=status)
    assert found == pytest.approx([0.4, 0.0, 0.5, 0.0], abs=1e-9)  # S1 is no candidate; S3 is the second best
    held = weights(made(), SCORE, where(10, 45, 0, 0), status=[0, Status.HALTED, 0, 0])
    assert held == pytest.approx([0.45, 0.45, 0, 0], abs=1e-9)


def test_without_a_ranking_the_last_target_stands() -> None:
    for score in ([NAN] * 4, [0.1] * 4):
        assert ask(made(), score, where(0, 0, 0, 0)) is None
    assert weights(made(topk=5), [0.1] * 4, where(0, 0, 0, 0)) == pytest.approx([0.18] * 4)


def test_at_equal_scores_a_holding_comes_first() -> None:
    assert weights(made(), [0.4, 0.1, 0.1, 0.1], where(45, 0, 0, 45)) == pytest.approx([0.45, 0, 0, 0.45])


def test_with_no_equity_what_can_be_sold_is() -> None:
    target = ask(made(), SCORE, book(day(0), [10.0] * 4, cash=-2000.0, qty=[10, 0, 30, 0]), status=[1, 0, 0, 0])
    assert target is not None
    assert target.value.tolist() == [10, 0, 0, 0]


def test_a_name_that_lost_its_score_leaves_softly() -> None:
    assert weights(made(impact_limit=0.1), [NAN, 0.3, 0.2, 0.1], where(45, 45, 0, 0)) == pytest.approx(
        [0.35, 0.45, 0.1, 0], abs=1e-9
    )


def slow(now: dict[int, float], best: list[int], ideal: float, limit: float, degree: float) -> dict[int, float]:
    """The rules of the docstring, one by one."""
    out, released = dict(now), 0.0
    for s, weight in now.items():
        cut = min(weight, limit) if s not in best else min(max(weight - ideal, 0.0), limit)
        out[s] -= cut
        released += cut
    budget = released + degree - sum(now.values())
    lacks = {s: ideal - now[s] for s in best if now[s] < ideal}
    total = sum(lacks.values())
    if budget > 0 and total > 0:
        for s, lack in lacks.items():
            out[s] += min(lack / total * min(budget, total), lack, limit)
    return out


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_it_equals_the_rules_one_by_one(draw: st.DataObject) -> None:
    n = draw.draw(st.integers(2, 8))
    topk, limit = draw.draw(st.integers(1, n)), draw.draw(st.sampled_from([0.05, 0.3, 1.0]))
    score = draw.draw(st.permutations([float(k) for k in range(n)]))
    qty = draw.draw(st.lists(st.integers(0, 30), min_size=n, max_size=n))
    found = weights(made(n, topk=topk, impact_limit=limit), score, where(*map(float, qty)))
    best = sorted(range(n), key=lambda s: -score[s])[:topk]
    expected = slow({s: q / 100 for s, q in enumerate(qty)}, best, 0.9 / topk, limit, 0.9)
    assert found == pytest.approx([expected[s] for s in range(n)], abs=1e-8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topk": 0}, "topk must be at least 1"),
        ({"risk_degree": 0.0}, "risk_degree must be above 0"),
        ({"impact_limit": 0.0}, "impact_limit must be above 0"),
        ({"interval_ns": -1}, "interval_ns must be at least 0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made(**options)
