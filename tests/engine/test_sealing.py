"""What a class of the user's own says: nobody writes into it afterwards, it is of the instant, its columns fit."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.gates.limits import Limits
from components.models.momentum import Momentum
from engine.barrier import Named
from engine.errors import ComponentError
from engine.event_columns import PLANS
from engine.events import (
    Approved,
    Bars,
    Book,
    Features,
    Fills,
    Note,
    Orders,
    Refusals,
    Reports,
    Signal,
    Target,
)
from engine.ids import OrderIds
from engine.protocols import Artefact
from engine.saying import signal_look
from engine.sealing import copied, sealed, users_own
from engine.universe import universe_of
from engine.wiring import ModelPart, Wiring
from tests.engine.parts import BarLevel, FillAtOpen, Proportional, Whole, parts
from tests.engine.test_wiring import ran, two_slices
from tests.make import bars, day, legs, target

LATER_NS = 61 * 10**9


def three_slices() -> list[Any]:
    return [*two_slices(), bars(day(2), [12.0, 28.0], open=[11.0, 28.0])]


def limited(**options: Any) -> Named:
    gate = Limits(universe=universe_of(("S0", "S1")), ids=OrderIds("s", "gate"), name="gate", **options)
    return Named("gate", gate)


class Orderer(Whole):
    """Orders one share once, of columns that it may make by itself; then it does what a test says."""

    def __init__(self, **columns: Any) -> None:
        super().__init__()
        self.columns, self.said = columns, None

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Any:
        if self.said is None:
            self.said = legs(Orders, book.ts, symbol=[0], qty=[1.0])
            self.said = msgspec.structs.replace(self.said, **self.columns)
            return self.said
        return None


class Unlocks(Orderer):
    """Makes its own array writeable again once the gate has approved it."""

    def __init__(self) -> None:
        super().__init__(qty=np.array([1.0]))

    def on_bars(self, bars: Bars, /) -> None:
        if self.said is not None:
            self.said.qty.flags.writeable = True
            self.said.qty[:] = 1000.0


class Reuses(Orderer):
    """Orders out of memory that no flag of numpy protects."""

    def __init__(self) -> None:
        self.memory = bytearray(np.array([1.0]).tobytes())
        super().__init__(qty=np.frombuffer(self.memory))

    def on_bars(self, bars: Bars, /) -> None:
        if self.said is not None:
            self.memory[:] = np.array([1000.0]).tobytes()


@pytest.mark.parametrize("kind", [Unlocks, Reuses])
async def test_an_order_cannot_be_rewritten_after_the_gate_approved_it(kind: Any) -> None:
    made = parts(optimizer=Named("optimizer", kind()), gate=limited(max_order_qty=5.0))
    log = await ran(Wiring(made), three_slices())
    (approved,) = log.of(Approved)
    assert approved.qty.tolist() == [1.0]
    assert [fills.qty.tolist() for fills in log.of(Fills)] == [[], [1.0], []]
    assert log.of(Book)[-1].qty.tolist() == [1.0, 0.0]


class Remembers:
    """A model that hands out its memory, and writes into it at the next slice."""

    lookback = 1

    def __init__(self) -> None:
        self.memory = bytearray(16)

    def on_bars(self, slice_: Bars, /) -> Signal:
        self.memory[:] = slice_.close.tobytes()
        value = np.frombuffer(self.memory)
        return Signal(ts=slice_.ts, asof=slice_.ts, source="a", value=value, horizon_ns=0)

    def swap(self, artefact: Artefact, /) -> None: ...


@pytest.mark.parametrize("held", [{}, {"lag": 1}, {"latency_ns": 5}])
async def test_a_signal_is_what_was_said_also_when_it_was_held_back(held: dict[str, int]) -> None:
    models = (ModelPart(name="a", model=Remembers(), **held),)
    log = await ran(Wiring(parts(models=models, features=())), three_slices())
    known = [s.value.tolist() for s in log.of(Signal) if not np.isnan(s.value).any()]
    assert known == [[10.0, 30.0], [11.0, 29.0], [12.0, 28.0]][: len(known)]
    assert len(known) == 3 - bool(held)


class Reviser(BarLevel):
    """Writes into each fill and report that it is handed."""

    def on_fills(self, fills: Fills, /) -> None:
        for column in (fills.price, fills.reference, fills.fees, fills.at, fills.exec_ids):
            if len(column):
                column[:] = 1


async def test_what_a_broker_says_cannot_be_rewritten_by_who_hears_it() -> None:
    models = (ModelPart(name="b", model=Reviser("b")),)
    with pytest.raises(ComponentError, match="b: failed on Fills .* read-only"):
        await ran(Wiring(parts(models=models, features=())), two_slices())


async def test_nothing_that_a_class_of_the_users_own_says_can_be_made_writeable_again() -> None:
    log = await ran(Wiring(parts(gate=limited())), two_slices())
    own = (Fills, Reports, Orders, Target, Signal, Features)
    arrays = [a for kind in own for event in log.of(kind) for a in PLANS[kind].arrays(event)]
    assert len(arrays) > 40
    for array in arrays:
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag to True"):
            array.flags.writeable = True


# ---- the instant -----------------------------------------------------------------------------------------------------


class Stamped(Orderer):
    """Says each of five orders at an instant of its own, so that none of them are of one minute."""

    def on_targets(self, targets: tuple[Target, ...], book: Book, /) -> Any:
        ids = np.arange(1, 6, dtype=np.uint64)
        return tuple(legs(Orders, book.ts + k * LATER_NS, symbol=[0], qty=[1.0], ids=ids[k : k + 1]) for k in range(5))


async def test_an_order_of_another_instant_ends_the_session_with_who_said_it() -> None:
    made = parts(optimizer=Named("optimizer", Stamped()), gate=limited(max_orders_per_minute=1))
    with pytest.raises(
        ComponentError, match=rf"optimizer: .* it said Orders with ts {day(0) + LATER_NS}; what is said has"
    ):
        await ran(Wiring(made), two_slices())


@pytest.mark.parametrize("shift", [-(10**18), 1])
async def test_so_does_a_stale_target_of_a_strategy(shift: int) -> None:
    class Shifted(Proportional):
        def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Any:
            answer = super().on_signals(signals, book)
            return msgspec.structs.replace(answer, ts=book.ts + shift)

    with pytest.raises(ComponentError, match="strategy: failed on Target .* it said Target with ts"):
        await ran(Wiring(parts(strategies=(Named("strategy", Shifted("strategy")),))), two_slices())


async def test_so_do_the_fills_of_a_broker() -> None:
    class Late(FillAtOpen):
        def on_bars(self, slice_: Bars, /) -> Any:
            return tuple(msgspec.structs.replace(e, ts=e.ts - 1) for e in super().on_bars(slice_))

    with pytest.raises(ComponentError, match="broker: failed on Fills .* it said Fills with ts"):
        await ran(Wiring(parts(broker=Named("broker", Late()))), two_slices())


@pytest.mark.parametrize("held", [{}, {"lag": 1}, {"latency_ns": 5}])
async def test_a_signal_that_speaks_of_a_later_slice_ends_the_session(held: dict[str, int]) -> None:
    class Foresees(BarLevel):
        def on_bars(self, slice_: Bars, /) -> Signal:
            return msgspec.structs.replace(super().on_bars(slice_), asof=slice_.ts + 1)

    models = (ModelPart(name="b", model=Foresees("b"), **held),)
    with pytest.raises(ComponentError, match=rf"b: failed on Signal .* asof {day(0) + 1}, which is after its ts"):
        await ran(Wiring(parts(models=models, features=())), two_slices())


# ---- columns ---------------------------------------------------------------------------------------------------------


class Sub(np.ndarray[Any, Any]):
    """An array of a class of its own."""


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"ids": np.array([1.5])}, "ids is an array of float64, not uint64"),
        ({"ids": np.array([-1])}, "ids is an array of int64 with values that are none of uint64"),
        ({"symbol": np.array([0.7])}, "symbol is an array of float64, not int32"),
        ({"symbol": np.array([1 << 40])}, "symbol is an array of int64 with values that are none of int32"),
        ({"qty": np.array([[10.0, 1e6]])}, r"qty has shape \(1, 2\), not \(L,\)"),
        ({"qty": np.array(10.0)}, r"qty has shape \(\), not \(L,\)"),
        ({"qty": [10.0]}, "qty is a list, not an array of float64"),
        ({"qty": np.array([10.0], object)}, "qty is an array of object, not float64"),
        ({"qty": np.array([True])}, "qty is an array of bool, not float64"),
        ({"limit": None}, "limit is a NoneType, not an array of float64"),
        ({"stop": np.full(2, np.nan)}, r"columns differ in length \(action 1, .*stop 2"),
    ],
    ids=["float_ids", "negative", "part", "large", "matrix", "scalar", "list", "object", "bool", "none", "length"],
)
async def test_columns_that_do_not_fit_end_the_session_with_who_said_them(columns: dict[str, Any], said: str) -> None:
    made = parts(optimizer=Named("optimizer", Orderer(**columns)), gate=limited())
    with pytest.raises(ComponentError, match=f"optimizer: failed on Orders .* of its Orders {said}"):
        await ran(Wiring(made), two_slices())


async def test_whole_numbers_of_another_width_become_those_of_the_column() -> None:
    zero = np.zeros(1, np.int8)
    columns = {"action": zero, "kind": zero, "tif": zero, "ids": np.array([7]), "qty": np.array([10]).view(Sub)}
    columns |= {"symbol": np.array([1], ">i8"), "limit": np.array([40.0], np.float32)}
    made = parts(optimizer=Named("optimizer", Orderer(**columns)), gate=limited())
    log = await ran(Wiring(made), two_slices())
    (orders,) = log.of(Orders)
    plan = PLANS[Orders]
    assert [array.dtype for array in plan.arrays(orders)] == plan.dtypes
    assert all(array.__class__ is np.ndarray for array in plan.arrays(orders))
    assert (orders.ids.tolist(), orders.symbol.tolist(), orders.qty.tolist()) == ([7], [1], [10.0])
    assert orders.limit.tolist() == [40.0]


@pytest.mark.parametrize("width", [2, 4])
async def test_fees_of_another_number_of_kinds_end_the_session(width: int) -> None:
    class Odd(FillAtOpen):
        def on_bars(self, slice_: Bars, /) -> Any:
            *reports, fills = super().on_bars(slice_)
            return (*reports, msgspec.structs.replace(fills, fees=np.zeros((len(fills.qty), width))))

    with pytest.raises(ComponentError, match=r"broker: failed on Fills .* fees has shape \(0, .\), not \(L, 3\)"):
        await ran(Wiring(parts(broker=Named("broker", Odd()))), two_slices())


def test_a_refusal_has_a_rule_for_each_leg_and_a_note_may_have_no_symbols() -> None:
    one = np.ones(1)
    columns: dict[str, Any] = {"ids": np.ones(1, np.uint64), "symbol": np.zeros(1, np.int32), "qty": one}
    given = {"ts": 5, "by": "gate", "value": one, "threshold": one} | columns
    for rule, said in (
        ((), "columns differ in length .* rule 0"),
        (["a"], "rule is a list that is not a tuple of texts"),
    ):
        with pytest.raises(ComponentError, match=f"gate: .* of its Refusals {said}"):
            sealed("gate", Refusals(rule=rule, **given), 5)  # type: ignore[arg-type]
    assert sealed("gate", Refusals(rule=("a",), **given), 5).rule == ("a",)
    assert sealed("m", Note(ts=5, source="m", kind="k", value=np.ones(3)), 5).value.tolist() == [1.0] * 3
    with pytest.raises(ComponentError, match="m: .* of its Note columns differ"):
        sealed("m", Note(ts=5, source="m", kind="k", value=np.ones(3), symbol=np.zeros(1, np.int32)), 5)


def test_a_note_is_said_in_nobody_elses_name() -> None:
    with pytest.raises(ComponentError, match="m: .* of its Note source is 'risk', not its own name 'm'"):
        sealed("m", Note(ts=5, source="risk", kind="latch", text="released by ops"), 5)


def test_a_ts_is_a_plain_number() -> None:
    for ts in (5.0, np.int64(5), True):
        with pytest.raises(ComponentError, match="it said Target with ts"):
            sealed("s", target(ts, [1.0]), 1 if ts is True else 5)  # type: ignore[arg-type]


async def test_a_signal_has_one_value_a_symbol() -> None:
    class Square(BarLevel):
        def on_bars(self, slice_: Bars, /) -> Signal:
            return msgspec.structs.replace(super().on_bars(slice_), value=np.ones((2, 1)))

    models = (ModelPart(name="b", model=Square("b")),)
    with pytest.raises(ComponentError, match=r"b: failed on Bars .* values of shape \(2, 1\), not one a symbol"):
        await ran(Wiring(parts(models=models, features=())), two_slices())


def test_features_keep_their_width_and_their_order_in_memory_does_not_matter() -> None:
    value = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    said = sealed("f", Features(ts=1, schema="s", value=value), 1)
    assert (said.value.dtype, said.value.tolist()) == (np.dtype(np.float32), [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])
    with pytest.raises(ComponentError, match=r"f: .* value has shape \(2,\), not \(N, F\)"):
        sealed("f", Features(ts=1, schema="s", value=np.ones(2)), 1)


def test_what_is_handed_on_is_no_array_that_somebody_else_holds() -> None:
    """One that lies in bytes cannot be written, but can be told to be of another type, or to lie elsewhere."""
    own = np.frombuffer(np.arange(3.0).tobytes())
    sent = copied(own)
    own.dtype = np.dtype(np.int64)
    assert sent.tolist() == [0.0, 1.0, 2.0]
    assert copied(np.empty(0)).tolist() == []


def test_whose_a_component_is() -> None:
    assert users_own(BarLevel("b"))
    assert not users_own(Momentum(window=1, universe=universe_of(("A",)), name="m"))
    assert not users_own(limited().component)


class Text(str):
    """Text of a class of its own."""


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("kind", 5, "kind is a int that is not text"),
        ("text", None, "text is a NoneType that is not text"),
        ("text", ["a"], "text is a list that is not text"),
        ("text", np.nan, "text is a float that is not text"),
        ("text", "\ud800", "text is a str that is not text in Unicode"),
    ],
)
def test_a_plain_field_of_another_type_is_named(field: str, value: Any, said: str) -> None:
    note = msgspec.structs.replace(Note(ts=day(0), source="mine", kind="k"), **{field: value})
    with pytest.raises(ComponentError, match=f"^mine: failed on Note .* of its Note {said}"):
        sealed("mine", note, day(0))


def test_text_of_another_class_is_said_as_plain_text() -> None:
    for text in (Text("q"), np.str_("q")):
        found = sealed("mine", Note(ts=day(0), source="mine", kind="k", text=text), day(0))
        assert (type(found.text), found.text) == (str, "q")


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("asof", "x", "asof is a str that is not a whole number"),
        ("asof", float(day(0)), "asof is a float that is not a whole number"),
        ("horizon_ns", True, "horizon_ns is a bool that is not a whole number"),
        ("horizon_ns", 2**80, "horizon_ns is a int that is not a whole number of 64 bits"),
        ("model_hash", 5, "model_hash is a int that is not text"),
    ],
)
def test_a_plain_field_of_a_signal_of_another_type_is_named(field: str, value: Any, said: str) -> None:
    wrong = Signal(ts=day(0), asof=day(0), source="mine", value=np.zeros(2), horizon_ns=1)
    with pytest.raises(ComponentError, match=f"^mine: failed on Signal .* of its Signal {said}"):
        signal_look(own=True)("mine", msgspec.structs.replace(wrong, **{field: value}), day(0))


def test_a_whole_number_of_numpy_is_said_as_one_of_python() -> None:
    said = Signal(ts=day(0), asof=np.int64(day(0)), source="mine", value=np.zeros(2), horizon_ns=1)  # type: ignore[arg-type]
    found = signal_look(own=True)("mine", said, day(0))
    assert type(found.asof) is int
