"""What corporate actions have to be before anybody applies them."""

from typing import Any

import numpy as np

from engine.errors import DataError
from engine.events import ActionKind, Actions, Mask
from engine.universe import Universe

_KINDS = ", ".join(f"{kind.value} {kind.name.lower()}" for kind in ActionKind)
_OTHER_MONEY = (
    "has successor {} of another currency or multiplier, and a position keeps its cost; give it as a delisting at its "
    "last price, or as a successor of the same"
)
_COLUMNS = ("symbol", "ratio", "amount", "pay_at", "successor")


def check_actions(by: str, actions: Actions, universe: Universe) -> None:
    """Raises DataError for the first action that cannot be applied, so that none of them is applied by half.

    Every kind is known, every symbol in the universe; the ratio of a split or a change of symbol is positive and
    finite, the successor another symbol of the universe in the same currency with the same multiplier, a dividend a
    finite amount. Whether a delisting states a price matters only where something is held, and is the ledger's to say.

    >>> from engine.universe import universe_of
    >>> one = lambda *column: np.array(column)
    >>> half = Actions(ts=0, kind=one(0), symbol=one(0), ratio=one(-0.5), amount=one(0.0), pay_at=one(0),
    ...     successor=one(-1))
    >>> check_actions("broker", half, universe_of(("A",)))
    Traceback (most recent call last):
    engine.errors.DataError: broker: split of A has ratio -0.5; it must be positive and finite; correct it in the feed
    """
    count, n = len(actions.kind), len(universe)
    for name in _COLUMNS:
        if len(getattr(actions, name)) != count:
            said = f"{len(getattr(actions, name))} values of {name} for {count} actions"
            raise DataError(f"{by}: Actions of {actions.ts} have {said}; every column needs one value an action")
    kind, symbol, heir = actions.kind, actions.symbol, actions.successor
    _refuse(~np.isin(kind, list(ActionKind)), kind, (by, actions), f"has kind {{}}; the kinds are {_KINDS}")
    range_ = f"positions in the universe go from 0 to {n - 1}"
    _refuse((symbol < 0) | (symbol >= n), symbol, (by, actions), f"is of symbol {{}}; {range_}")
    renames = kind == ActionKind.SYMBOL_CHANGE
    _refuse(renames & ((heir < 0) | (heir >= n)), heir, (by, actions), f"has successor {{}}; {range_}", universe)
    _refuse(renames & (heir == symbol), heir, (by, actions), "has itself as successor; it must be another", universe)
    other = renames & ~same_money(universe, symbol, np.where(renames, heir, symbol))
    _refuse(other, heir, (by, actions), _OTHER_MONEY, universe)
    scales = renames | (kind == ActionKind.SPLIT)
    positive = (actions.ratio > 0) & (actions.ratio < np.inf)
    rule = "has ratio {}; it must be positive and finite"
    _refuse(scales & ~positive, actions.ratio, (by, actions), rule, universe)
    endless = (kind == ActionKind.CASH_DIVIDEND) & ~np.isfinite(actions.amount)
    _refuse(endless, actions.amount, (by, actions), "has amount {}; it must be finite", universe)


def same_money(universe: Universe, old: Any, new: Any) -> Any:
    """Whether prices of these symbols count the same money: only then can one take over the cost of the other."""
    currency, multiplier = universe.currency, universe.multiplier
    return (currency[old] == currency[new]) & (multiplier[old] == multiplier[new])


def _refuse(bad: Mask, value: Any, of: tuple[str, Actions], rule: str, universe: Universe | None = None) -> None:
    """Raises for the first of these; named by symbol where a universe is given, else by its place."""
    if not bad.any():
        return
    (by, actions), i = of, int(np.flatnonzero(bad)[0])
    what = f"action {i} of {actions.ts}"
    if universe is not None:
        name = ActionKind(int(actions.kind[i])).name.lower().replace("_", " ")
        what = f"{name} of {universe.symbols[int(actions.symbol[i])]}"
    raise DataError(f"{by}: {what} {rule.format(value[i].item())}; correct it in the feed")
