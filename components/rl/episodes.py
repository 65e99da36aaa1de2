"""Orders to learn from: given or drawn from days, and split by date."""

import datetime as dt

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.brokers.fill_rules import whole_lots
from components.rl.days import Days
from engine.errors import DataError
from engine.events import DAY_NS, Codes, Matrix, Vector

Places = NDArray[np.intp]


class Orders(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """E parent orders, one an episode: columns (E,).

    An order is decided at the close of the bar `start` of its day and trades in the `horizon` bars after it, as far as
    the day has them.
    """

    day: Places
    symbol: Places
    side: Codes  # 1 buys, -1 sells
    quantity: Vector  # unsigned shares
    start: Places
    horizon: Places

    def __len__(self) -> int:
        return len(self.day)

    def rows(self, at: NDArray[np.bool_] | Places) -> "Orders":
        return Orders(**{name: getattr(self, name)[at] for name in self.__struct_fields__})


def check_orders(orders: Orders, days: Days) -> None:
    """Raises DataError for an order that names no day, symbol or bar of these, or is no whole number of lots."""
    bars = days.length[np.clip(orders.day, 0, len(days) - 1)] if len(days) else np.zeros(len(orders), np.intp)
    lot = days.universe.lot[np.clip(orders.symbol, 0, len(days.universe) - 1)]
    rules = (
        ("day", (orders.day >= 0) & (orders.day < len(days)), f"one of the {len(days)} days, counted from 0"),
        ("symbol", (orders.symbol >= 0) & (orders.symbol < len(days.universe)), "a position in the universe"),
        ("side", np.abs(orders.side) == 1, "1 to buy or -1 to sell"),
        ("quantity", np.isfinite(orders.quantity) & (orders.quantity > 0), "finite and above 0"),
        ("quantity", whole_lots(np.where(np.isfinite(orders.quantity), orders.quantity, 0), lot), "whole lots"),
        ("start", (orders.start >= 0) & (orders.start < bars - 1), "a bar of its day before the last one"),
        ("horizon", orders.horizon >= 1, "at least 1 bar"),
    )
    for name, good, rule in rules:
        if not good.all():
            at = int(np.argmin(good))
            raise DataError(f"order {at}: {name} must be {rule}, got {getattr(orders, name)[at]}; leave it out")


def generated(
    days: Days,
    *,
    share: float,
    horizon: int,
    start: int | tuple[int, ...] = 0,
    of: str = "trailing",
    window: int = 20,
) -> Orders:
    """A purchase and a sale of each symbol on each day, from each `start` bar, by days, symbols, starts and sides.

        quantity = share * volume, down to whole lots, at least one lot

    The volume is that of the day itself (`of: day`: the size then knows the day) or the mean of the `window` trading
    days before it (`of: trailing`), their splits taken into account. An order whose volume is unknown or 0, or whose
    start is the last bar of its day or behind it, is left out; a horizon beyond the close ends with it. DataError where
    no volume is known at all.
    """
    if not share > 0:
        raise ValueError(f"share must be above 0 (of the volume), got {share}")
    if of not in ("day", "trailing"):
        raise ValueError(f"of must be day or trailing, got {of!r}")
    starts = np.atleast_1d(np.asarray(start, np.intp))
    if len(np.unique(starts)) < len(starts):
        raise ValueError(
            f"start must name each bar once, got {starts.tolist()}: orders of a bar named twice count twice"
        )
    if not np.isfinite(days.volume).any():
        raise DataError(
            "orders: no volume is known of any bar of the feed (`volume: unknown`?), and orders.share is a share of "
            "it; take a feed that has volumes"
        )
    volume = traded(days) if of == "day" else trailing(days, window)
    d, s, at, side = (
        grid.ravel()
        for grid in np.meshgrid(np.arange(len(days)), np.arange(len(days.universe)), starts, (1, -1), indexing="ij")
    )
    lot, known = days.universe.lot[s], volume[d, s]
    quantity = np.maximum(np.floor(share * known / lot + 1e-9), 1.0) * lot
    keep = (known > 0) & np.isfinite(known) & (at < days.length[d] - 1) & (at >= 0)
    side = side.astype(np.int32)
    made = Orders(day=d, symbol=s, side=side, quantity=quantity, start=at, horizon=np.full(len(d), horizon, np.intp))
    return made.rows(keep)


def traded(days: Days) -> Matrix:
    """(D, N) shares that each day traded; what is unknown counts as none."""
    volume: Matrix = np.nan_to_num(days.by_day("volume")).sum(axis=2)
    return volume


def trailing(days: Days, window: int) -> Matrix:
    """(D, N) mean volume of the `window` days before each day that traded, in its shares; NaN where none did."""
    if window < 1:
        raise ValueError(f"window must be at least 1 day, got {window}")
    volume, out = traded(days), np.full(days.ratio.shape, np.nan)
    for day in range(1, len(days)):
        ratio, total, count = np.ones(days.ratio.shape[1]), np.zeros(days.ratio.shape[1]), np.zeros(days.ratio.shape[1])
        for before in range(day - 1, max(day - window, 0) - 1, -1):
            ratio = ratio * days.ratio[before + 1]
            total = total + volume[before] * ratio
            count = count + (volume[before] > 0)
        np.divide(total, count, out=out[day], where=count > 0)
    return out


class Split(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Orders to learn from, to choose by and to judge by."""

    train: Orders
    validation: Orders
    test: Orders


def split(orders: Orders, days: Days, *, validation_from: dt.date, test_from: dt.date) -> Split:
    """By date: before `validation_from`, from there on, and from `test_from` on. No date is in two of them.

    DataError where one of the three has no order.
    """
    if not validation_from < test_from:
        raise ValueError(f"test_from must come after validation_from, got {test_from} after {validation_from}")
    label = days.label[orders.day]
    first, second = ((date - dt.date(1970, 1, 1)).days * DAY_NS for date in (validation_from, test_from))
    parts = {
        "train": orders.rows(label < first),
        "validation": orders.rows((label >= first) & (label < second)),
        "test": orders.rows(label >= second),
    }
    for name, part in parts.items():
        if not len(part):
            span = f"{days.date(0)} to {days.date(len(days) - 1)}" if len(days) else "no day"
            raise DataError(
                f"split {name}: it has no order; the days go from {span}, and validation_from is {validation_from}, "
                f"test_from {test_from}: move them, or take more days"
            )
    return Split(**parts)
