"""Notes folded into what a session says of its decisions."""

from typing import Any

import numpy as np
import pytest

from components.metrics.decisions import DecisionFold
from engine.events import DAY_NS, Note


def note(ts: int, kind: str, text: str = "", symbol: Any = (), value: Any = (), source: str = "optimizer") -> Note:
    symbols, values = np.array(symbol, np.int32), np.array(value, float)
    return Note(ts=ts * DAY_NS, source=source, kind=kind, text=text, symbol=symbols, value=values)


def solved(ts: int, route: str = "kernel", iterations: int = 3, residual: str = "1.0e-09") -> Note:
    text = f"2 weights solved by {route} in {iterations} iterations, residual {residual}, before rounding"
    return note(ts, "weights", text, [0, 1], [0.5, 0.5])


def folded(*notes: Note) -> DecisionFold:
    fold = DecisionFold()
    for each in notes:
        fold.on_note(each)
    return fold


def test_a_session_without_such_notes_has_nothing_to_say() -> None:
    found = folded(note(1, "upkeep", "settled"), note(1, "latch", "halt")).result()
    assert found.empty
    assert folded().curves() == {}


def test_prices_are_means_over_notes_of_means_over_names_and_the_largest_of_all() -> None:
    found = folded(
        solved(1),
        note(1, "binds:box", "2 names at the upper bound of box", [0, 1], [0.1, 0.3]),
        solved(2),
        note(2, "binds:box", "1 name at the upper bound of box", [1], [-0.6]),
        solved(3),
        solved(4),
    ).result()
    (line,) = found.constraints
    assert (line.constraint, line.label, line.rebalances, line.share) == ("box", "upper bound", 2, 0.5)
    assert (line.names, line.price_mean, line.price_max) == (1.5, pytest.approx((0.2 + 0.6) / 2), 0.6)


def test_labels_of_one_constraint_stand_below_it_and_one_rebalance_counts_once() -> None:
    found = folded(
        solved(1),
        note(1, "binds:sectors", "sectors: Energy at its limit of 0.2", [0], [0.1]),
        note(1, "binds:sectors", "sectors: Real estate: all at its limit of 0.2", [1], [0.3]),
        note(1, "binds:turnover", "turnover at its limit of 0.1", (), [0.5]),
    ).result()
    lines = [(line.constraint, line.label, line.rebalances, line.price_mean) for line in found.constraints]
    assert lines == [
        ("sectors", "", 1, 0.2),
        ("sectors", "Energy", 1, 0.1),
        ("sectors", "Real estate: all", 1, 0.3),
        ("turnover", "", 1, 0.5),
    ]


def test_routes_have_medians_residuals_and_those_that_did_not_answer() -> None:
    found = folded(
        *(solved(ts, iterations=k) for ts, k in enumerate([1, 9, 2, 4], 1)),
        note(5, "route", "kernel did not answer: residual 2.0e-03, above 1e-07"),
        note(5, "route", "scs did not answer: iterations"),
        solved(5, "counted, piqp", 40, "3.0e-08"),
        note(6, "weights", "7 weights solved, before rounding", [0], [1.0]),
    ).result()
    rows = [(r.route, r.rebalances, r.iterations_median, r.residual_max, r.in_vain) for r in found.routes]
    assert rows == [
        ("kernel", 4, 3.0, 1e-9, 1),
        ("counted, piqp", 1, 40.0, 3e-8, 0),
        ("", 1, None, None, 0),
        ("scs", 0, None, None, 1),
    ]
    assert sum(route.share for route in found.routes) == pytest.approx(1.0)


def test_an_answer_without_a_residual_is_not_certified() -> None:
    found = folded(solved(1, "last weights", 0, "inf"), solved(2), solved(3, residual="nan")).result()
    rows = [(r.route, r.rebalances, r.residual_max, r.uncertified) for r in found.routes]
    assert rows == [("kernel", 2, 1e-9, 1), ("last weights", 1, None, 1)]


def test_a_hold_is_counted_once_where_ladder_and_optimizer_both_tell_of_it() -> None:
    conflict = "no weights satisfy budget[sum], turnover together"
    found = folded(
        note(1, "fallback", "equity is -1.0; positions are held, exits are sold (1 times so far)", (), [1]),
        note(
            2,
            "infeasible",
            f"{conflict}; any one of them could be met if it gave way: budget[sum] by 0.2, turnover by 1e-05",
        ),
        note(2, "fallback:hold", f"{conflict}; positions are held, exits are sold", (), [1]),
        note(2, "fallback", f"{conflict}; positions are held, exits are sold (2 times so far)", (), [2]),
        note(
            3,
            "infeasible",
            f"{conflict}; any one of them could be met if it gave way: budget[sum] by 0.1, turnover by 0.5",
        ),
        note(3, "fallback:relax", f"{conflict}; they were relaxed by just so much", (), [1]),
        solved(3),
    ).result()
    rows = [(f.step, f.reason, f.count, f.first, f.last) for f in found.fallbacks]
    assert rows == [
        ("hold", "equity is -1.0", 1, "1970-01-02T00:00:00Z", "1970-01-02T00:00:00Z"),
        ("hold", conflict, 1, "1970-01-03T00:00:00Z", "1970-01-03T00:00:00Z"),
        ("relax", conflict, 1, "1970-01-04T00:00:00Z", "1970-01-04T00:00:00Z"),
    ]
    (told,) = found.conflicts
    assert (told.constraints, told.most, told.count) == (("budget[sum]", "turnover"), (0.2, 0.5), 2)
    assert (found.rebalances, found.answered) == (3, 1)


def test_exits_factors_and_names_that_come_and_go_are_counted() -> None:
    found = folded(
        note(1, "rule:stop_loss", "hit", [0, 2], [-0.1, -0.2], "strategy"),
        note(2, "rule:stop_loss", "hit", [1], [-0.1], "strategy"),
        note(2, "sell:adv", "gone", [1], [100.0], "strategy"),
        note(2, "rule:drawdown_brake", "factor", (), [0.5], "strategy"),
        note(3, "rule:drawdown_brake", "factor", (), [0.8], "strategy"),
        note(3, "filter:price", "told", [0, 1, 2], [0.0, 1.0, 0.0], "strategy"),
        note(4, "cut", "2 purchases were cut", [0, 1], [5.0, 6.0]),
        note(4, "rounding", "whole lots", (), [0.002]),
        note(5, "rounding", "whole lots", (), [0.004]),
    ).result()
    assert [(e.rule, e.slices, e.positions) for e in found.exits] == [("rule:stop_loss", 2, 3), ("sell:adv", 1, 1)]
    assert [(f.rule, f.changes, f.lowest, f.last) for f in found.factors] == [("rule:drawdown_brake", 2, 0.5, 0.8)]
    assert [(s.filter, s.dropped, s.returned) for s in found.screens] == [("filter:price", 2, 1)]
    assert [(c.kind, c.rebalances, c.trades) for c in found.changes] == [("cut", 1, 2)]
    assert found.rounding is not None
    assert (found.rounding.rebalances, found.rounding.mean, found.rounding.largest) == (2, 0.003, 0.004)


def test_what_a_sleeve_gained_is_without_the_cash_that_was_moved() -> None:
    fold = folded(
        note(1, "sleeve", "core", (), [100.0], "s"),
        note(2, "sleeve", "core", (), [110.0], "s"),
        note(3, "sleeve:moved", "core", (), [-30.0], "s"),
        note(3, "sleeve", "core", (), [85.0], "s"),
        note(3, "sleeve", "core", (), [86.0], "s"),  # a later book of the slice
        note(4, "sleeve", "core", (), [np.nan], "s"),
    )
    (sleeve,) = fold.result().sleeves
    assert (sleeve.first, sleeve.last, sleeve.moved, sleeve.gained) == (100.0, 86.0, -30.0, 16.0)
    ts, equity = fold.curves()["s.core"]
    assert equity.tolist() == [100.0, 110.0, 86.0]
    assert (ts // DAY_NS).tolist() == [1, 2, 3]


def test_memory_is_bounded_whatever_the_notes_say() -> None:
    fold = DecisionFold()
    for k in range(2000):
        fold.on_note(solved(k, f"route {k}"))
        fold.on_note(note(k, f"binds:limit {k}", f"limit {k}: label {k} at its limit of 1", (), [1.0]))
        fold.on_note(note(k, "fallback:relax", f"reason {k}; done", (), [1.0]))
        fold.on_note(
            note(
                k,
                "infeasible",
                f"no weights satisfy a{k}, b together; any one of them could be met if it gave way: a{k} by 1",
            )
        )
        fold.on_note(note(k, f"rule:r{k}", "hit", [0], [1.0]))
        fold.on_note(note(k, f"filter:f{k}", "told", [0], [0.0]))
    found = fold.result()
    tables = (found.constraints, found.routes, found.fallbacks, found.conflicts, found.exits, found.screens)
    assert all(len(rows) <= 2 * 257 for rows in tables)
    assert sum(exit_.positions for exit_ in found.exits) == 2000
    assert sum(fallback.count for fallback in found.fallbacks) == 2000
    assert sum(conflict.count for conflict in found.conflicts) == 2000
    assert sum(route.rebalances for route in found.routes) == 2000


def test_prices_that_are_no_numbers_count_in_nothing() -> None:
    found = folded(solved(1), note(1, "binds:box", "at the upper bound of box", [0, 1], [np.nan, 0.2])).result()
    assert [(c.price_mean, c.price_max) for c in found.constraints] == [(0.2, 0.2)]
    assert folded(note(1, "rounding", "", (), [np.inf])).result().rounding is None
