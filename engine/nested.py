"""Classes of the user's own as parts of components of ours: cost models, financing, risk models.

What they are handed are copies, what they answer is checked and copied, and what is wrong is told in their own name:
the component that asked them would be blamed for it otherwise, or the recorder behind it.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from engine.errors import ComponentError, ConfigError, failure_of
from engine.events import FEE_KINDS, Bars, Book, ChargeKind, Charges, Matrix, Vector
from engine.handed_out import HandedOut, alone, same
from engine.protocols import Conditions, CostModel, Financing, Risk, RiskModel, Stateful
from engine.sealing import copied, handed, sealed, users_own

_KINDS = len(FEE_KINDS)


def costs_of(costs: CostModel) -> CostModel:
    """The cost model; one of the user's own behind checks of what it answers."""
    return _Costs(costs) if users_own(costs) else costs


def financing_of(part: Financing) -> Financing:
    """The financing; one of the user's own behind checks of its charges."""
    return _Financing(part) if users_own(part) else part


def risk_model_of(model: RiskModel) -> RiskModel:
    """The risk model; one of the user's own behind checks of its estimates."""
    return _RiskModel(model) if users_own(model) else model


class Part:
    """A component of the user's own within one of ours, by the name of its class."""

    def __init__(self, group: str, inner: Any) -> None:
        self.inner, self.name = inner, f"{group} {type(inner).__name__}"

    def ask(self, method: str, ts: int, *given: Any) -> Any:
        """What the method answers. ComponentError, in the name of the class, for what it raises."""
        try:
            return getattr(self.inner, method)(*given)
        except (Exception, SystemExit) as error:
            raise failure_of(self.name, method, ts, error) from error

    def passed_on(self, to: Any, *told: str) -> None:
        """Gives `to` these handlers as far as the class defines them, with events of its own, and `save` and `load`."""
        for name in told:
            if hasattr(self.inner, name):
                setattr(to, name, self._telling(name))
        if isinstance(self.inner, Stateful):
            to.save, to.load = self.inner.save, self.inner.load

    def _telling(self, method: str) -> Callable[[Any], None]:
        def tell(event: Any) -> None:
            self.ask(method, event.ts, handed(event))

        return tell

    def numbers(self, what: str, ts: int, answer: Any, shape: tuple[int, ...], hint: str = "") -> Any:
        """As `checked`, in a copy."""
        return copied(self.checked(what, ts, answer, shape, hint))

    def checked(self, what: str, ts: int, answer: Any, shape: tuple[int, ...], hint: str = "") -> Any:
        """The answer in float64. ComponentError unless it is an array of numbers of this shape; -1 = any."""
        if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiu":
            kind = f"an array of {answer.dtype}" if isinstance(answer, np.ndarray) else f"a {type(answer).__name__}"
            raise self.wrong(what, ts, f"it answered {kind}, not an array of float64")
        fits = answer.ndim == len(shape) and all(a == b or b < 0 for a, b in zip(answer.shape, shape, strict=True))
        if not fits:
            wanted = ", ".join("any" if each < 0 else str(each) for each in shape)
            raise self.wrong(what, ts, f"it answered shape {answer.shape}, not ({wanted}){hint}")
        return answer.astype(np.float64, copy=False)

    def wrong(self, what: str, ts: int, cause: str) -> ComponentError:
        return ComponentError(self.name, what, ts, cause)


class _Costs:
    """A cost model of the user's own: finite prices, fees in the columns FEE_KINDS, finite and not negative."""

    def __init__(self, costs: CostModel) -> None:
        self._part = part = Part("costs", costs)
        part.passed_on(self, "on_bars", "on_fills", "on_actions")
        if hasattr(costs, "memo"):
            self.memo = self._memo
        self._width = -1  # of memos, as the first had it

    def price(self, qty: Vector, reference: Vector, at: Conditions, /) -> Vector:
        market = copied(reference)
        answer = self._part.ask("price", at.ts, copied(qty), market, _apart(at))
        if answer is market:  # it displaces nothing
            return reference
        price: Vector = self._part.numbers("price", at.ts, answer, (len(qty),))
        self._refuse("price", at, price, np.isfinite(price) | ~np.isfinite(reference), "finite")
        return price

    def fees(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        answer = self._part.ask("fees", at.ts, copied(qty), copied(price), _apart(at))
        hint = f": a row for each trade, the columns {', '.join(FEE_KINDS)}"
        fees: Matrix = self._part.numbers("fees", at.ts, answer, (len(qty), _KINDS), hint)
        known = np.isfinite(qty * price)[:, None]
        self._refuse("fees", at, fees, np.isfinite(fees) & (fees >= 0) | ~known, "finite and not negative")
        return fees

    def rate(self) -> float:
        rate: Any = self._part.inner.rate()
        if not (isinstance(rate, int | float | np.floating) and isfinite(rate) and rate >= 0):
            raise ConfigError(f"{self._part.name}: its rate() is {rate!r}; it must be a finite number, at least 0")
        return float(rate)

    def _memo(self, qty: Vector, price: Vector, at: Conditions, /) -> Matrix:
        answer = self._part.ask("memo", at.ts, copied(qty), copied(price), _apart(at))
        hint = ": a row for each trade, and always as many columns"
        memo: Matrix = self._part.numbers("memo", at.ts, answer, (len(qty), self._width), hint)
        self._refuse("memo", at, memo, np.isfinite(memo) | ~np.isfinite(qty * price)[:, None], "finite")
        self._width = memo.shape[1]
        return memo

    def _refuse(self, what: str, at: Conditions, values: Any, fine: Any, rule: str) -> None:
        if not fine.all():
            row, *column = np.argwhere(~fine)[0].tolist()
            kind = f" ({FEE_KINDS[column[0]]})" if what == "fees" else ""
            symbol = int(at.symbol[row])
            cause = f"{what} of symbol {symbol} of the universe{kind} is {values[row, *column]}; each must be {rule}"
            raise self._part.wrong(what, at.ts, cause)


def _apart(at: Conditions) -> Conditions:
    """The conditions with arrays that nobody else holds."""
    arrays = ((name, getattr(at, name)) for name in at.__struct_fields__)
    return msgspec.structs.replace(at, **{name: copied(a) for name, a in arrays if isinstance(a, np.ndarray)})


class _Financing:
    """Financing of the user's own: charges of the instant, in the types of their columns, of symbols that there are."""

    def __init__(self, financing: Financing) -> None:
        self._part = part = Part("financing", financing)
        part.passed_on(self, "on_bars")

    def charges(self, book: Book, days: int, ts: int, /) -> Charges | None:
        answer = self._part.ask("charges", ts, handed(book), days, ts)
        if answer is None:
            return None
        if answer.__class__ is not Charges:
            raise self._part.wrong("charges", ts, f"it answered a {type(answer).__name__}, not Charges or None")
        found: Charges = sealed(self._part.name, answer, ts)
        n, c = len(book.qty), len(book.cash)
        for name, low, high in (("kind", 0, len(ChargeKind)), ("symbol", -1, n), ("currency", 0, c)):
            column = getattr(found, name)
            odd = column[(column < low) | (column >= high)]
            if odd.size:
                cause = f"{name} of a charge is {odd[0]}; it must be from {low} to {high - 1}"
                raise self._part.wrong("charges", ts, cause)
        endless = found.amount[~np.isfinite(found.amount)]
        if endless.size:
            raise self._part.wrong("charges", ts, f"amount of a charge is {endless[0]}; it must be finite")
        return found


class _RiskModel:
    """A risk model of the user's own: a covariance of the symbols that there are.

    What is not finite in it is for the optimizer to answer, which holds its positions then. Arrays of an estimate that
    went out are read-only, so that one that did not change costs nothing.
    """

    def __init__(self, model: RiskModel) -> None:
        self._part = part = Part("risk model", model)
        part.passed_on(self, "on_actions", "on_reference")
        self.lookback: int = getattr(model, "lookback", 0)
        self._n, self._ts = -1, 0
        self._kept: dict[str, HandedOut] = {}
        self._last: Risk | None = None

    def on_bars(self, bars: Bars, /) -> None:
        self._n, self._ts = len(bars.close), bars.ts
        self._part.ask("on_bars", bars.ts, handed(bars))

    def risk(self) -> Risk | None:
        part, ts = self._part, self._ts
        answer = part.ask("risk", ts)
        if answer is None:
            return None
        if answer.__class__ is not Risk:
            raise part.wrong("risk", ts, f"it answered a {type(answer).__name__}, not a Risk or None")
        factors = self._taken("factors", answer, (self._n, -1))
        k, last = factors.shape[1], self._last
        covariance = self._taken("covariance", answer, (k, k))
        specific = self._taken("specific", answer, (self._n,))
        if last is not None and factors is last.factors and covariance is last.covariance and specific is last.specific:
            return last  # so that what was made of it is not made anew
        if (specific < 0).any():
            raise part.wrong("risk", ts, f"specific has a variance of {specific.min()}; none may be negative")
        self._last = Risk(factors=factors, covariance=covariance, specific=specific)
        return self._last

    def _taken(self, name: str, answer: Risk, shape: tuple[int, ...]) -> Any:
        """This part of an estimate, as the very array of last time where it is the same."""
        given, kept = getattr(answer, name), self._kept.get(name)
        usable = self._part.checked(f"risk {name}", self._ts, given, shape)
        if kept is not None and kept.comes_again(given):
            if not kept.stands():
                raise self._part.wrong("risk", self._ts, f"{name} {_WRITTEN}")
            return kept.used
        used = kept.used if kept is not None and same(usable, kept.used) else alone(usable)
        self._kept[name] = HandedOut(given, used)
        return used


_WRITTEN = (
    "of an estimate that it had answered was written into, which was used in the meantime; arrays that went out stay "
    "as they were said: answer a new one, or a copy, when an estimate changes"
)
