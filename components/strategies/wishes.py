"""What is done to a target on its way out: pure functions, none of which writes into what it is given."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from components.optimizers.sizing import wanted_shares
from components.strategies.guards import View, share_of_equity
from engine.events import Book, Mask, Signal, Target, TargetKind, Vector
from engine.state import placed

_COLUMNS = ("value", "alpha", "limit", "stop")


def hidden(signal: Signal, names: Mask) -> Signal:
    """The signal without an opinion on these names (N,)."""
    return msgspec.structs.replace(signal, value=np.where(names, np.nan, signal.value))


def at_full_size(view: View, factor: float) -> Book:
    """The book as it would be had its positions not been multiplied by `factor`, of the same equity.

    A strategy that keeps what it holds then asks for the same again, and not for the factor of the factor.
    """
    book = view.book
    if factor in (0.0, 1.0):
        return book
    qty = book.qty / factor
    cash = book.cash.copy()
    held = np.flatnonzero(book.qty)
    cash[0] += float(((book.qty - qty)[held] * np.nan_to_num(view.unit[held])).sum())
    return msgspec.structs.replace(book, qty=qty, working=book.working / factor, cash=cash)


def in_shares(target: Target, view: View) -> Target:
    """The target as the shares that it means at the prices and the equity of this slice."""
    if target.kind is TargetKind.QUANTITY:
        return target
    value = wanted_shares((target,), view.book, view.universe)
    return msgspec.structs.replace(target, kind=TargetKind.QUANTITY, value=value)


def leave_all(view: View, name: str) -> Target:
    """A target that leaves every position as it is."""
    none = np.full(len(view.universe), np.nan)
    return Target(
        ts=view.ts, source=name, kind=TargetKind.QUANTITY, value=none, alpha=none, limit=none.copy(), stop=none.copy()
    )


def closed(target: Target, names: Mask) -> Target:
    """The target with none of these names wanted, at no particular price."""
    if not names.any():
        return target
    prices = {name: np.where(names, np.nan, getattr(target, name)) for name in ("limit", "stop")}
    return msgspec.structs.replace(target, value=np.where(names, 0.0, target.value), **prices)


def scaled(target: Target, factor: float) -> Target:
    return target if factor == 1.0 else msgspec.structs.replace(target, value=target.value * factor)


def clipped(target: Target, view: View, allowed: Mask) -> Target:
    """The target, where it would add to what is held of a name that may not be added to, in shares that do not.

    `allowed` (2, N): what may be bought, and what may be sold short. What still works toward more counts as not held,
    so that it is cancelled. A name that may not be bought has no alpha, so that an optimizer that sizes positions by
    itself adds nothing either.
    """
    if allowed.all():
        return target
    shares = wanted_shares((target,), view.book, view.universe)
    most = np.maximum(np.minimum(view.position, view.book.qty), 0.0)
    least = np.minimum(np.maximum(view.position, view.book.qty), 0.0)
    more, less = ~allowed[0] & (shares > most), ~allowed[1] & (shares < least)
    alpha = np.where(allowed[0], target.alpha, np.nan)
    if not (more.any() or less.any()):
        return msgspec.structs.replace(target, alpha=alpha)
    value = np.where(more, most, np.where(less, least, shares))
    return msgspec.structs.replace(target, kind=TargetKind.QUANTITY, value=value, alpha=alpha)


def weights_of(target: Target, view: View) -> Vector:
    """(N,) the weights that a target asks for, NaN where it leaves a name as it is or there is no price."""
    if target.kind is TargetKind.WEIGHT:
        return target.value
    if target.kind is TargetKind.QUANTITY:
        return share_of_equity(target.value, view.unit, view.book.equity)
    return target.value / (view.book.equity if view.book.equity > 0 else np.nan)


def same(one: Target, other: Target) -> bool:
    """Whether two targets ask for the same."""
    return one.kind is other.kind and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in _COLUMNS
    )


def saved(target: Target | None) -> dict[str, Any] | None:
    if target is None:
        return None
    return {"ts": target.ts, "kind": target.kind.value} | {name: getattr(target, name) for name in _COLUMNS}


def restored(fields: dict[str, Any] | None, name: str, before: Sequence[str], now: Sequence[str]) -> Target | None:
    """The saved target; of names appended to the universe since nothing is wanted."""
    if fields is None:
        return None
    columns = {key: placed(fields[key], before, now, 0.0 if key == "value" else np.nan) for key in _COLUMNS}
    return Target(ts=fields["ts"], source=name, kind=TargetKind(fields["kind"]), **columns)
