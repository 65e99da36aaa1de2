"""Figures of orders, each averaged by orders, by shares and by value."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.events import Matrix, Vector

WEIGHTS = ("orders", "shares", "value")
BASES = ("twap", "vwap")  # of a parent: the averages of its horizon
OWN_BASES = ("price", "vwap")  # of a child: the bar it trades in


def figures_of(bases: Sequence[str]) -> tuple[str, ...]:
    """What orders that are measured against these bases are said to have.

    >>> figures_of(("twap",))
    ('fill_ratio', 'pa_twap_bps', 'arrival_bps', 'pos_twap')
    """
    return "fill_ratio", *(f"pa_{base}_bps" for base in bases), "arrival_bps", *(f"pos_{base}" for base in bases)


def keys_of(bases: Sequence[str]) -> list[tuple[str, str]]:
    """Figures by weights; the share of positive price advantages is by orders alone."""
    of_value = len(bases) + 2
    figures = figures_of(bases)
    by_all = [(figure, weight) for figure in figures[:of_value] for weight in WEIGHTS]
    return by_all + [(figure, "orders") for figure in figures[of_value:]]


def compared(table: Mapping[str, Any], bases: Sequence[str]) -> dict[str, Vector]:
    """Price, fill ratio, price advantages and slippage of orders; NaN = undefined.

        pa      = -side (price / base - 1) 10^4        above 0 is better than the base
        arrival =  side (price / arrival - 1) 10^4     above 0 is a cost

    `table` has (n,) asked, filled (signed shares), paid (shares times price), arrival and each base (prices), and
    `unit`, base money for a point and share.
    """
    side = np.sign(table["asked"])
    with np.errstate(invalid="ignore", divide="ignore"):
        price: Vector = table["paid"] / table["filled"]
        found = {"price": price, "fill_ratio": table["filled"] / table["asked"] + 0.0}  # no -0 of a sale
        found |= {f"pa_{base}_bps": -side * (price / table[base] - 1) * 1e4 for base in bases}
        found["arrival_bps"] = side * (price / table["arrival"] - 1) * 1e4
    found["value"] = np.abs(table["paid"]) * table["unit"]
    return found


def summed(table: Mapping[str, Any], bases: Sequence[str] = BASES) -> Matrix:
    """(K, 2, n) of n orders: for each figure by each weight w x and w, both 0 where x or w is not defined."""
    asked, filled = np.abs(table["asked"]), np.abs(table["filled"])
    ones = np.ones(len(asked))
    of_fill = dict(zip(WEIGHTS, (ones, asked, table["asked_value"]), strict=True))
    of_rest = dict(zip(WEIGHTS, (ones, filled, table["value"]), strict=True))
    keys = keys_of(bases)
    sums = np.zeros((len(keys), 2, len(asked)))
    for k, (figure, weight) in enumerate(keys):
        values = _above(table[f"pa_{figure[4:]}_bps"]) if figure[:4] == "pos_" else table[figure]
        weights = (of_fill if figure == "fill_ratio" else of_rest)[weight]
        known = np.isfinite(values) & np.isfinite(weights)
        sums[k, 0, known], sums[k, 1, known] = (values * weights)[known], weights[known]
    return sums


def _above(advantage: Vector) -> Vector:
    return np.where(np.isnan(advantage), np.nan, advantage > 0)


def divided(sums: Matrix, bases: Sequence[str] = BASES) -> dict[str, dict[str, Vector]]:
    """The averages of (K, 2, S) sums, by figure and weight: (S,) each, NaN = undefined."""
    found: dict[str, dict[str, Vector]] = {}
    for (figure, weight), (weighed, total) in zip(keys_of(bases), sums, strict=True):
        means = np.where(total > 0, weighed / np.where(total > 0, total, 1.0), np.nan)
        found.setdefault(figure, {})[weight] = means
    return found


def averaged(table: Mapping[str, Any], first: Any) -> dict[str, dict[str, Vector]]:
    """Each figure of each stretch of parents that begins at a place of `first` (S,): (S,) values, NaN = undefined."""
    sums = summed(table)
    return divided(np.add.reduceat(sums, first, axis=2) if len(first) else sums[:, :, :0])


def averages(table: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    """Each figure of these parents, averaged by orders, by shares and by value; the shares of positive PA by orders.

        x = sum of w_i x_i / sum of w_i   over the parents where x is defined

    w = 1, |shares|, or |value|: those filled, and for the fill ratio those asked for, at the mark of the decision.
    Value is base money: multipliers and the exchange rates of the decision are in it.

    >>> one = {"asked": np.array([10.0, -30.0]), "filled": np.array([10.0, -15.0]), "value": np.array([100.0, 300.0])}
    >>> one |= dict.fromkeys(("pa_vwap_bps", "arrival_bps", "asked_value"), np.array([1.0, 1.0]))
    >>> found = averages(one | {"fill_ratio": np.array([1.0, 0.5]), "pa_twap_bps": np.array([4.0, -4.0])})
    >>> found["fill_ratio"]["shares"], found["pa_twap_bps"]["value"], found["pos_twap"]["orders"]
    (0.625, -2.0, 0.5)
    """
    return plain(averaged(table, np.zeros(min(1, len(table["asked"])), np.intp)))


def plain(found: Mapping[str, Mapping[str, Vector]]) -> dict[str, dict[str, float | None]]:
    """The first of each, ready for JSON: None = undefined."""
    return {figure: {name: _number(mean) for name, mean in each.items()} for figure, each in found.items()}


def _number(values: Vector) -> float | None:
    return float(values[0]) if len(values) and np.isfinite(values[0]) else None
