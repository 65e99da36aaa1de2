"""Set G, a synthetic market on which Qlib was run: eight names, eighteen days, all from formulas; kept as float32."""

from typing import Any

import numpy as np

NAMES, DAYS = 8, 18
OPEN_COST, CLOSE_COST, MIN_COST, CASH = 0.0005, 0.0015, 5.0, 1e6
FIRST, LAST = 1, 14  # 2024-01-03 to 2024-01-22


def moves() -> Any:
    """(N, T) returns."""
    r = np.array([[(((7 * i + 3 * t + i * t) % 11) - 5) / 200 for t in range(DAYS)] for i in range(NAMES)])
    r[:, 0] = 0.0
    r[3, 5], r[1, 8] = 0.10, -0.10
    return r


def closes() -> Any:
    """(T, N) closes as stored; NaN where S5 is suspended."""
    price = ((20 + 5 * np.arange(NAMES))[:, None] * np.cumprod(1 + moves(), axis=1)).T.astype(np.float32)
    price[6:8, 5] = np.nan
    return price


def index() -> Any:
    """(T,) closes of the benchmark."""
    return (1000 * np.cumprod(1 + moves().mean(axis=0))).astype(np.float32)


def scores() -> Any:
    """(T, N)."""
    return np.array([[((5 * i + 7 * t + 2 * i * t) % 13) / 13 + i * 0.001 for i in range(NAMES)] for t in range(DAYS)])


# What Qlib's top-k dropout (3, 1) ordered on each day: signed hundreds of shares by name.
ORDERS: tuple[tuple[tuple[int, int], ...], ...] = (
    ((5, 68), (2, 103), (7, 57)),
    ((5, -68), (6, 70)),
    ((6, -70), (4, 88)),
    ((4, -88), (5, 76)),
    ((2, -103), (6, 61)),
    ((1, 7),),
    ((6, -61),),
    ((7, -57), (0, 292)),
    ((0, -292), (4, 152)),
    ((1, -7), (0, 21)),
    ((5, -76), (6, 65)),
    ((4, -152), (7, 107)),
    ((7, -107), (2, 193)),
    ((0, -21), (5, 15)),
)


def account() -> tuple[Any, Any, Any]:
    """(14,) equity, cost in money and level of the benchmark after each day, by a plain loop over the orders."""
    price, level = closes().astype(np.float64), index()
    step = (level[1:] / level[:-1] - np.float32(1)).astype(np.float64)  # Qlib works in float32
    cash, held, mark = CASH, np.zeros(NAMES), price[0].copy()
    equity: list[float] = []
    cost: list[float] = []
    bench: list[float] = []
    for day, orders in zip(range(FIRST, LAST + 1), ORDERS, strict=True):
        paid = 0.0
        for name, hundreds in orders:
            value = abs(hundreds) * 100 * price[day, name]
            fee = max(value * (OPEN_COST if hundreds > 0 else CLOSE_COST), MIN_COST)
            cash -= np.sign(hundreds) * value + fee
            held[name] += hundreds * 100
            paid += fee
        mark = np.where(np.isnan(price[day]), mark, price[day])
        equity.append(cash + float(held @ mark))
        cost.append(paid)
        bench.append((bench[-1] if bench else CASH) * (1 + step[day - 1]))
    return np.array(equity), np.array(cost), np.array(bench)
