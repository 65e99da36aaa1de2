"""Classes of the user's own within components of ours: told apart, checked, and named where they are wrong."""

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

from adapters.operators.aggregate import Aggregate
from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.costs.together import Together
from components.features.column import Rows
from components.features.custom import Custom
from components.features.expression import Expression
from components.models.stages import applied
from components.optimizers.direct import Direct
from components.optimizers.mean_variance import MeanVariance
from components.optimizers.portfolio import Portfolio
from components.optimizers.problem import Decision, Situation
from components.strategies.rules.volatility_target import VolatilityTarget
from engine.barrier import Named
from engine.errors import ComponentError, ConfigError
from engine.events import DAY_NS, Actions, Bars, Charges, Fills, Orders, Reference, Target
from engine.ids import OrderIds
from engine.journal import Journal
from engine.nested import costs_of, financing_of, risk_model_of
from engine.protocols import Conditions, Risk
from engine.session import Replay, Session
from engine.universe import universe_of
from engine.wiring import Wiring
from samewire.walk import Walk
from tests.engine.parts import parts
from tests.engine.test_hearing import written
from tests.engine.test_sealing import limited, three_slices
from tests.make import bars, book, day, target

UNIVERSE = universe_of(("S0", "S1"))


class Flat:
    """A cost model of a user: a basis point; a test says otherwise."""

    def __init__(self, **answers: Any) -> None:
        self.answers, self.done, self.kept = answers, [], np.zeros(1)  # type: ignore[var-annotated]

    def price(self, qty: Any, reference: Any, at: Conditions, /) -> Any:
        self._meddle(qty, reference, at)
        return self._said("price", np.array(reference), len(qty))

    def fees(self, qty: Any, price: Any, at: Conditions, /) -> Any:
        self._meddle(qty, price, at)
        return self._said("fees", np.abs(qty * price)[:, None] * [1e-4, 0.0, 0.0], len(qty))

    def rate(self) -> Any:
        return self.answers.get("rate", 1e-4)

    def on_bars(self, slice_: Bars, /) -> None:
        self.done += written(slice_)

    def on_fills(self, fills: Fills, /) -> None:
        self.done += written(fills)

    def _said(self, name: str, usual: Any, count: int) -> Any:
        answer = self.answers.get(name, usual)
        return answer(count) if callable(answer) else answer

    def _meddle(self, *given: Any) -> None:
        arrays = [a for each in given for a in (each, *(getattr(each, name, None) for name in ("symbol", "volume")))]
        for array in arrays:
            if isinstance(array, np.ndarray):
                with pytest.raises(ValueError, match="WRITEABLE"):
                    array.flags.writeable = True


def made(costs: Any, **given: Any) -> Any:
    broker = Simulated(universe=UNIVERSE, costs=costs, name="broker", fill="next_open", **given)
    return parts(broker=Named("broker", broker), gate=limited())


async def fills_of(all_parts: Any) -> tuple[Fills, str]:
    journal, found = Journal(), []

    class Keeps:
        def append(self, origins: Any, events: Any, /) -> None:
            found.extend(event for event in events if isinstance(event, Fills) and len(event.qty))

    await Session(Wiring(all_parts), recorders=(journal, Keeps())).run(Replay(lambda: iter(three_slices())))
    return found[0], journal.digest


FEES = {
    "two_columns": (lambda n: np.zeros((n, 2)), r"it answered shape \(\d, 2\), not \(\d, 3\): .* commission, exchange"),
    "flat": (lambda n: np.zeros(n), r"it answered shape \(\d,\), not \(\d, 3\)"),
    "a_row_more": (lambda n: np.zeros((n + 1, 3)), "it answered shape"),
    "negative": (lambda n: np.full((n, 3), -1.0), r"fees of symbol 0 of the universe \(commission\) is -1.0"),
    "nan": (lambda n: np.full((n, 3), np.nan), r"is nan; each must be finite and not negative"),
    "texts": (lambda n: np.full((n, 3), "1"), "it answered an array of <U1, not an array of float64"),
    "list": (lambda n: [[0.0] * 3] * n, "it answered a list, not an array of float64"),
    "none": (lambda n: None, "it answered a NoneType"),
}


@pytest.mark.parametrize("case", FEES)
async def test_fees_that_are_none_end_the_session_with_the_class_that_said_them(case: str) -> None:
    answer, said = FEES[case]
    with pytest.raises(ComponentError, match=f"^costs Flat: failed on fees of 2018-.*{said}"):
        await fills_of(made(Flat(fees=answer)))


PRICES = {
    "endless": (lambda n: np.full(n, np.inf), "price of symbol 0 of the universe is inf; each must be finite"),
    "matrix": (lambda n: np.ones((n, 1)), r"it answered shape \(\d, 1\), not \(\d\)"),
    "number": (lambda n: 1.0, "it answered a float, not an array of float64"),
}


@pytest.mark.parametrize("case", PRICES)
async def test_so_do_prices(case: str) -> None:
    answer, said = PRICES[case]
    with pytest.raises(ComponentError, match=f"^costs Flat: failed on price of 2018-.*{said}"):
        await fills_of(made(Flat(price=answer)))


async def test_what_a_cost_model_raises_is_said_in_its_own_name() -> None:
    def broken(count: int) -> Any:
        raise KeyError("S9")

    with pytest.raises(ComponentError, match="^costs Flat: failed on fees of 2018-.*KeyError: 'S9'"):
        await fills_of(made(Flat(fees=broken)))


async def test_a_cost_model_reads_and_writes_nothing_but_its_own() -> None:
    costs = Flat()
    fills, digest = await fills_of(made(costs))
    assert costs.done == []
    assert digest == (await fills_of(made(Bps(commission_bps=1))))[1]
    with pytest.raises(ValueError, match="WRITEABLE"):
        fills.fees.flags.writeable = True


async def test_fees_that_are_changed_once_they_were_said_stay_as_they_were_said() -> None:
    kept: list[Any] = []

    def remembered(count: int) -> Any:
        kept.append(np.ones((count, 3)))
        return kept[-1]

    class Later(Flat):
        def on_fills(self, fills: Fills, /) -> None:
            for each in kept:
                each[:] = 1000.0

    fills, _ = await fills_of(made(Later(fees=remembered)))
    assert fills.fees.tolist() == [[1.0] * 3] * len(fills.qty)


def test_whole_numbers_and_float32_are_taken_and_a_displacement_of_nothing_stays_none() -> None:
    costs = costs_of(Flat(price=lambda n: np.full(n, 3, np.int32), fees=lambda n: np.ones((n, 3), np.float32)))
    at = Conditions(ts=1, symbol=np.zeros(2, np.int32))
    market = np.array([3.0, 4.0])
    price = costs.price(np.ones(2), market, at)
    assert price.dtype == np.float64
    assert costs.fees(np.ones(2), price, at).dtype == np.float64

    class Same(Flat):
        def price(self, qty: Any, reference: Any, at: Conditions, /) -> Any:
            return reference

    assert costs_of(Same()).price(np.ones(2), market, at) is market


def test_what_the_market_has_no_price_of_may_have_none() -> None:
    at = Conditions(ts=1, symbol=np.zeros(2, np.int32))
    costs = costs_of(Flat())
    market = np.array([3.0, np.nan])
    assert np.isnan(costs.price(np.ones(2), market, at)).tolist() == [False, True]
    assert np.isnan(costs.fees(np.ones(2), market, at)[:, 0]).tolist() == [False, True]


@pytest.mark.parametrize("rate", [np.nan, -0.1, "1", None])
def test_a_rate_is_a_number(rate: Any) -> None:
    with pytest.raises(ConfigError, match=r"costs Flat: its rate\(\) is .*; it must be a finite number, at least 0"):
        costs_of(Flat(rate=rate)).rate()


def test_the_optimizer_and_a_sum_of_costs_name_it_too() -> None:
    wrong = Flat(fees=lambda n: np.zeros((n, 2)))
    direct = Direct(universe=UNIVERSE, ids=OrderIds("s", "o"), costs=wrong, name="optimizer")
    direct.on_bars(bars(day(0), [10.0, 30.0]))
    with pytest.raises(ComponentError, match="^costs Flat: failed on fees"):
        direct.on_targets((target(day(0), [0.5, 0.5]),), book(day(0), [10.0, 30.0], cash=1e5))
    with pytest.raises(ComponentError, match="^costs Flat: failed on fees"):
        Together(parts=(Bps(), Flat(fees=lambda n: np.zeros((n, 1)))))


def test_a_memo_has_always_as_many_columns() -> None:
    widths = iter((2, 2, 3))

    class Notes(Flat):
        def memo(self, qty: Any, price: Any, at: Conditions, /) -> Any:
            return np.zeros((len(qty), next(widths)))

    costs: Any = costs_of(Notes())
    at = Conditions(ts=1, symbol=np.zeros(1, np.int32))
    assert [costs.memo(np.ones(1), np.ones(1), at).shape for _ in range(2)] == [(1, 2)] * 2
    with pytest.raises(ComponentError, match=r"costs Notes: failed on memo .* shape \(1, 3\), not \(1, 2\)"):
        costs.memo(np.ones(1), np.ones(1), at)
    assert not hasattr(costs_of(Flat()), "memo")


def test_what_it_does_not_define_nobody_asks_for_and_ours_are_let_be() -> None:
    ours = Bps()
    assert costs_of(ours) is ours

    class Plain:
        price, fees, rate = Flat.price, Flat.fees, Flat.rate

    costs = costs_of(Plain())
    assert not any(hasattr(costs, name) for name in ("on_bars", "on_fills", "on_actions", "memo", "save", "load"))

    class Saves(Flat):
        def save(self) -> bytes:
            return b"state"

        def load(self, state: bytes, /) -> None:
            self.answers["loaded"] = state

    saving: Any = costs_of(Saves())
    saving.load(saving.save())


# ---- financing -------------------------------------------------------------------------------------------------------


class Fee:
    """Financing of a user: a charge a day; a test says otherwise."""

    def __init__(self, answer: Any = "charge", **columns: Any) -> None:
        self.answer, self.columns = answer, columns
        self.done: list[str] = []

    def charges(self, held: Any, days: int, ts: int, /) -> Any:
        self.done += written(held)
        charge = Charges(
            ts=ts,
            kind=np.zeros(1, np.int32),
            symbol=np.zeros(1, np.int32),
            currency=np.zeros(1, np.int32),
            amount=np.array([-1.0]),
        )
        return msgspec.structs.replace(charge, **self.columns) if self.answer == "charge" else self.answer


CHARGES = {
    "of_another_instant": (Fee(ts=5), "said Charges with ts 5"),
    "no_charge": (Fee(answer=3.0), "it answered a float, not Charges or None"),
    "of_no_symbol": (Fee(symbol=np.array([2], np.int32)), "symbol of a charge is 2; it must be from -1 to 1"),
    "of_no_currency": (Fee(currency=np.array([1], np.int32)), "currency of a charge is 1; it must be from 0 to 0"),
    "of_no_kind": (Fee(kind=np.array([9], np.int32)), "kind of a charge is 9"),
    "endless": (Fee(amount=np.array([np.inf])), "amount of a charge is inf; it must be finite"),
    "of_texts": (Fee(amount=np.array(["1"])), "amount is an array of <U1"),
    "of_two_lengths": (Fee(amount=np.zeros(2)), "columns differ in length"),
}


@pytest.mark.parametrize("case", CHARGES)
async def test_charges_that_are_none_end_the_session_with_the_class_that_said_them(case: str) -> None:
    fee, said = CHARGES[case]
    with pytest.raises(ComponentError, match=f"^financing Fee: failed on .* of 2018-.*{said}"):
        await fills_of(made(Bps(), financing=(fee,)))


async def test_charges_that_fit_are_booked_and_the_book_that_is_shown_stays_as_it_is() -> None:
    fee, nothing = Fee(), Fee(answer=None)
    await fills_of(made(Bps(), financing=(fee, nothing)))
    assert fee.done == nothing.done == []
    found = financing_of(fee).charges(book(day(0), [1.0]), 1, day(0))
    assert found is not None
    assert found.amount.tolist() == [-1.0]
    with pytest.raises(ValueError, match="WRITEABLE"):
        found.amount.flags.writeable = True


# ---- risk models -----------------------------------------------------------------------------------------------------


class Guess:
    """A risk model of a user."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.done: list[str] = []

    def on_bars(self, slice_: Bars, /) -> None:
        self.done += written(slice_)

    def on_actions(self, actions: Actions, /) -> None:
        self.done += written(actions)

    def on_reference(self, reference: Reference, /) -> None:
        self.done.append(reference.name)

    def risk(self) -> Any:
        return self.answer


GOOD = Risk(factors=np.ones((2, 1)), covariance=np.ones((1, 1)) * 1e-4, specific=np.full(2, 1e-4))
RISKS = {
    "of_three_symbols": (msgspec.structs.replace(GOOD, specific=np.ones(3)), r"specific .* shape \(3,\), not \(2\)"),
    "of_two_factors": (msgspec.structs.replace(GOOD, covariance=np.eye(2)), r"covariance .* \(2, 2\), not \(1, 1\)"),
    "negative": (msgspec.structs.replace(GOOD, specific=np.full(2, -1.0)), "specific has a variance of -1.0"),
    "matrix": (np.eye(2), "it answered a ndarray, not a Risk or None"),
}


@pytest.mark.parametrize("case", RISKS)
def test_an_estimate_that_is_none_is_said_in_the_name_of_its_class(case: str) -> None:
    answer, said = RISKS[case]
    model: Any = Guess(answer)
    optimizer = MeanVariance(
        universe=UNIVERSE, ids=OrderIds("s", "o"), costs=Bps(), name="optimizer", risk_model=model, alpha="raw"
    )
    optimizer.on_bars(bars(day(0), [10.0, 30.0]))
    wish = target(day(0), [0.5, 0.5], alpha=[0.01, 0.02])
    with pytest.raises(ComponentError, match=f"^risk model Guess: failed on risk.*{said}"):
        optimizer.on_targets((wish,), book(day(0), [10.0, 30.0], cash=1e5))
    assert model.done == []


def test_one_that_fits_is_used_and_one_that_knows_too_little_is_waited_for() -> None:
    model = risk_model_of(Guess(GOOD))
    model.on_bars(bars(day(0), [10.0, 30.0]))
    found = model.risk()
    assert found is not None
    assert found.factors.tolist() == [[1.0], [1.0]]
    assert risk_model_of(Guess(None)).risk() is None


def estimates(inner: Guess) -> Any:
    """The risk model around one of a user, that has seen a slice."""
    model = risk_model_of(inner)
    model.on_bars(bars(day(0), np.ones(len(inner.answer.factors))))
    return model


def large() -> Any:
    """Factors of more numbers than are compared one by one each slice."""
    return np.random.default_rng(1).normal(size=(20_000, 3))


def guessed(factors: Any, specific: Any = 1e-4) -> Risk:
    n, k = factors.shape
    return Risk(factors=factors, covariance=np.eye(k) * 1e-4, specific=np.full(n, specific))


def test_an_estimate_that_did_not_change_is_the_same_one_so_that_nothing_of_it_is_made_anew() -> None:
    inner = Guess(guessed(np.ones((2, 1))))
    model = estimates(inner)
    first = model.risk()
    assert first.factors is inner.answer.factors  # and no copy of it
    assert model.risk() is first
    inner.answer = guessed(np.ones((2, 1)))  # equal, in arrays of their own
    assert model.risk() is first
    assert model.risk() is first
    inner.answer = guessed(np.ones((2, 1)), 2e-4)
    second = model.risk()
    assert second.factors is first.factors
    assert (first.specific[1], second.specific[1]) == (1e-4, 2e-4)
    assert model.risk() is second


@pytest.mark.parametrize("name", ["factors", "covariance", "specific"])
def test_arrays_of_an_estimate_that_went_out_are_read_only(name: str) -> None:
    class Updates(Guess):
        def on_bars(self, slice_: Bars, /) -> None:
            array = getattr(self.answer, name)
            array *= 0.94

    model = risk_model_of(Updates(guessed(np.ones((2, 1)))))
    for t in range(2):
        if t:
            said = "^risk model Updates: failed on on_bars .*read-only; an array that went out stays as it was said"
            with pytest.raises(ComponentError, match=said):
                model.on_bars(bars(day(t), [10.0, 30.0]))
        else:
            model.on_bars(bars(day(t), [10.0, 30.0]))
            model.risk()


@pytest.mark.parametrize("factors", [np.ones((2, 1)), large(), np.asfortranarray(large())], ids=["small", "large", "F"])
@pytest.mark.parametrize("by", ["lifted", "older_view"])
def test_writing_over_an_estimate_that_went_out_is_an_error_and_never_stale(factors: Any, by: str) -> None:
    factors = factors.copy(order="A")
    older = factors[:]
    model = estimates(Guess(guessed(factors)))
    model.risk()
    if by == "lifted":
        factors.flags.writeable = True
        older = factors
    older *= 0.94
    with pytest.raises(ComponentError, match="^risk model Guess: failed on risk .*: factors of an estimate .*written"):
        model.risk()


def test_a_single_number_written_over_in_a_small_array_is_an_error() -> None:
    specific = np.array([1e-4, 2e-4])
    older = specific[1:]
    model = estimates(Guess(Risk(factors=np.ones((2, 1)), covariance=np.eye(1), specific=specific)))
    model.risk()
    older[0] = 3e-4
    with pytest.raises(ComponentError, match="specific of an estimate that it had answered was written into"):
        model.risk()


@pytest.mark.parametrize("factors", [np.ones((2, 1)), large()], ids=["small", "large"])
def test_a_view_is_copied_and_what_is_written_behind_it_shows(factors: Any) -> None:
    behind = factors.copy()
    inner = Guess(guessed(behind[:, :]))
    model = estimates(inner)
    first = model.risk()
    assert model.risk() is first
    behind[1, -1] = 7.0  # the last of the numbers, in the same view
    second = model.risk()
    assert (first.factors[1, -1], second.factors[1, -1]) == (factors[1, -1], 7.0)
    behind[0, 0] = 5.0
    inner.answer = guessed(behind[:, :])
    assert model.risk().factors[0, 0] == 5.0
    assert second.factors[0, 0] == factors[0, 0]


@pytest.mark.parametrize("kind", [np.float32, np.int64, ">f8"])
def test_numbers_of_another_kind_are_taken_once(kind: Any) -> None:
    inner = Guess(guessed(np.ones((2, 3), kind)))
    model = estimates(inner)
    first = model.risk()
    assert first.factors.dtype == np.float64
    assert model.risk() is first
    inner.answer = guessed(np.full((2, 3), 2, kind))
    assert model.risk().factors.tolist() == [[2.0] * 3] * 2


def test_rows_of_an_estimate_lie_one_behind_the_other_however_they_came() -> None:
    factors = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    model = estimates(Guess(guessed(factors)))
    found = model.risk()
    assert found.factors.flags.c_contiguous
    assert np.array_equal(found.factors, factors)
    assert model.risk() is found


class Equal:
    """A method that weighs no risk."""

    def weights(self, at: Situation, /) -> Decision:
        return Decision(weights=np.full(len(at.w0), 0.5))


def optimizer_of(kind: Any, model: Any) -> Any:
    given: dict[str, Any] = {"universe": UNIVERSE, "ids": OrderIds("s", "o"), "costs": Bps(), "name": "optimizer"}
    return kind(**given, risk_model=model, **({"method": Equal()} if kind is Portfolio else {"alpha": "raw"}))


@pytest.mark.parametrize("kind", [MeanVariance, Portfolio, VolatilityTarget])
def test_a_risk_model_hears_of_references(kind: Any) -> None:
    model = Guess(GOOD)
    holder = VolatilityTarget(target=0.1, risk_model=model) if kind is VolatilityTarget else optimizer_of(kind, model)
    holder.on_reference(Reference(ts=day(0), name="exposures", rows="symbol", value=np.ones((2, 1))))
    assert model.done == ["exposures"]


@pytest.mark.parametrize("case", RISKS)
def test_an_estimate_that_is_none_is_said_to_a_method_too(case: str) -> None:
    answer, said = RISKS[case]
    optimizer = optimizer_of(Portfolio, Guess(answer))
    optimizer.on_bars(bars(day(0), [10.0, 30.0]))
    wish: Target = target(day(0), [0.5, 0.5], alpha=[0.01, 0.02])
    with pytest.raises(ComponentError, match=f"^risk model Guess: failed on risk.*{said}"):
        optimizer.on_targets((wish,), book(day(0), [10.0, 30.0], cash=1e5))


def test_orders_are_those_of_the_same_costs_of_ours() -> None:
    def orders(costs: Any) -> Orders:
        direct = Direct(universe=UNIVERSE, ids=OrderIds("s", "o"), costs=costs, name="optimizer")
        direct.on_bars(bars(day(0), [10.0, 30.0]))
        answer = direct.on_targets((target(day(0), [0.5, 0.5]),), book(day(0), [10.0, 30.0], cash=1e5))
        (found,) = [each for each in answer if isinstance(each, Orders)]
        return found

    assert orders(Flat()).qty.tolist() == orders(Bps(commission_bps=1)).qty.tolist()


# ---- what reads windows and slices -----------------------------------------------------------------------------------


def locked(*arrays: Any) -> bool:
    """Whether numpy refuses to make each of them writeable, and what it is a view of."""
    for array in arrays:
        while isinstance(array, np.ndarray):
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True
            array = array.base
    return True


class Newest:
    """A feature of a user: the latest close."""

    names, lookback = ("newest",), 2

    def on_rows(self, rows: Rows, /) -> Any:
        assert locked(*rows)
        return rows.close[-1]


def test_a_feature_cannot_write_into_the_window_that_it_is_shown() -> None:
    features = Custom(universe=UNIVERSE, columns=(Newest(), Expression(column="close", expr="close")))
    for k in range(3):
        value = features.on_bars(bars(day(k), [10.0 + k, 30.0])).value
    assert value.tolist() == [[12.0, 12.0], [30.0, 30.0]]


class Doubles:
    """A processor of a user."""

    def fit(self, value: Any, /) -> dict[str, Any]:
        return {}

    def apply(self, value: Any, frozen: Any, /) -> Any:
        assert locked(value)
        return value * 2


def test_nor_can_a_processor_into_features() -> None:
    value = np.ones((2, 1), np.float32)
    assert applied(Doubles(), value, {}).tolist() == [[2.0], [2.0]]


class Reuses:
    """A feed of a user that hands out one memory again and again."""

    universe, interval_ns, sectors, span = UNIVERSE, DAY_NS, (), None

    def bounds(self, start: Any, end: Any) -> tuple[None, None]:
        return None, None

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Any]:
        memory = np.zeros(2)
        for k in range(3):
            memory[:] = 10.0 + k
            yield msgspec.structs.replace(bars(day(k), [1.0, 1.0]), close=memory, open=memory, high=memory, low=memory)

    def issues(self) -> tuple[Any, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


@pytest.mark.parametrize("nested", [False, True])
def test_a_feed_may_use_its_memory_again(nested: bool) -> None:
    feed: Any = Aggregate(of=Reuses(), to=["1w"]) if nested else Reuses()
    events = list(Walk(feed.events, feed).events())
    days = [event for event in events if event.interval_ns == DAY_NS]
    assert [event.close.tolist() for event in days] == [[10.0, 10.0], [11.0, 11.0], [12.0, 12.0]]
    assert all(locked(event.close) for event in days)
