"""A strategy with guards around it: what they change of its targets, when it is asked, and what is told."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.optimizers.sizing import wanted_shares
from components.strategies.filters.halted import Halted
from components.strategies.filters.limit_locked import LimitLocked
from components.strategies.filters.members import Members
from components.strategies.filters.price import Price
from components.strategies.filters.tradable import Tradable
from components.strategies.guarded import Guarded
from components.strategies.rules.cool_down import CoolDown
from components.strategies.rules.drawdown_brake import DrawdownBrake
from components.strategies.rules.max_holding import MaxHolding
from components.strategies.rules.stop_loss import StopLoss
from components.strategies.rules.trailing_stop import TrailingStop
from components.strategies.schedules.always import Always
from components.strategies.schedules.every import Every
from components.strategies.sign import Sign
from components.strategies.topk_dropout import TopkDropout
from engine.errors import StateError
from engine.events import ActionKind, Mask, Note, Status, Target, TargetKind, Vector
from engine.sealing import users_own
from engine.universe import universe_of
from tests.components.strategies.seen import Scripted, actions
from tests.conformance.streams import N, same, session, universe
from tests.make import bars, book, day, signal, target, vector

NAN = np.nan
QUANTITY = TargetKind.QUANTITY


class Stage:
    """Two names, a strategy and guards; `slice` hands them one slice after the other."""

    def __init__(self, strategy: Any, *, n: int = 2, **guards: Any) -> None:
        self.u = universe_of(tuple(f"S{i}" for i in range(n)))
        self.make = lambda: Guarded(strategy=strategy, universe=self.u, name="s", **guards)
        self.guarded, self.k, self.n = self.make(), -1, n

    def slice(self, mark: Any, *, close: Any = None, score: Any = None, status: Any = None, **columns: Any) -> Any:
        self.k += 1
        given = {} if status is None else {"status": status}
        self.guarded.on_bars(bars(day(self.k), mark if close is None else close, **given))
        scores = (signal(day(self.k), [0.0] * self.n if score is None else score),)
        answer = self.guarded.on_signals(scores, book(day(self.k), mark, **columns))
        return None if answer is None else answer.value.tolist()

    def notes(self) -> list[tuple[str, list[int], list[float]]]:
        """(kind, symbols, values) of what is said of the last target."""
        said = self.guarded.on_target(target(day(self.k), [0.0] * self.n))
        each = said if isinstance(said, tuple) else () if said is None else (said,)
        assert all(isinstance(note, Note) and note.source == "s" and note.ts == day(self.k) for note in each)
        return [(note.kind, note.symbol.tolist(), note.value.tolist()) for note in each]


def shares(*values: float) -> Target:
    return target(0, values, kind=QUANTITY)


# ---- filters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "wanted", "said"),
    [
        (0, 10, 0),  # not bought
        (10, 30, 10),  # nor added to
        (10, 10, 10),
        (10, 4, 4),  # but reduced
        (10, 0, 0),
        (10, -5, 0),  # closed, and not turned over
        (-10, -30, -10),
        (-10, -4, -4),
        (-10, 5, 0),
        (10, NAN, NAN),
    ],
)
def test_a_name_that_does_not_pass_is_kept_or_reduced(held: float, wanted: float, said: float) -> None:
    stage = Stage(Scripted(shares(wanted, 7)), filters=(Price(minimum=5),))
    answer = stage.slice([4.0, 6.0], qty=[held, 0])
    np.testing.assert_array_equal(answer, [said, 7])


def test_weights_of_a_name_that_does_not_pass_are_cut_to_its_shares() -> None:
    stage = Stage(Scripted(target(0, [0.5, 0.2])), filters=(Price(minimum=5),))
    assert stage.slice([4.0, 6.0], qty=[10, 0], equity=1200.0) == [10, 40]


def test_what_works_toward_more_of_such_a_name_is_cancelled() -> None:
    stage = Stage(Scripted(shares(50, 0)), filters=(Price(minimum=5),))
    assert stage.slice([4.0, 6.0], qty=[10, 0], working=np.array([40.0, 0.0])) == [10, 0]
    assert stage.slice([4.0, 6.0], qty=[10, 0], working=np.array([-4.0, 0.0])) == [6, 0]


def test_a_ranking_takes_the_next_name_and_its_budget() -> None:
    top = TopkDropout(topk=1, n_drop=1, universe=universe_of(("S0", "S1")), name="s", risk_degree=1.0)
    stage = Stage(top, filters=(Price(minimum=5),))
    top.on_bars(bars(day(0), [4.0, 10.0]))
    assert stage.slice([4.0, 10.0], score=[2.0, 1.0], cash=100.0) == [0, 10]


def test_a_score_of_a_name_that_is_held_is_seen() -> None:
    inner = Scripted(shares(10, 0))
    Stage(inner, filters=(Price(minimum=5),)).slice([4.0, 4.0], score=[2.0, 1.0], qty=[10, 0])
    np.testing.assert_array_equal(inner.shown[0][0][0].value, [2.0, NAN])


def test_an_alpha_is_gone_where_nothing_may_be_bought() -> None:
    stage = Stage(Scripted(target(0, [10, 10], kind=QUANTITY, alpha=[1.0, 2.0])), filters=(Price(minimum=5),))
    stage.slice([4.0, 6.0], qty=[10, 0])
    np.testing.assert_array_equal(stage.guarded._said.alpha, [NAN, 2.0])


def test_a_side_that_is_locked_leaves_the_other() -> None:
    stage = Stage(Scripted(shares(10, 10), shares(-10, -10)), filters=(LimitLocked(universe=universe(2), limit=0.1),))
    stage.slice([10.0, 10.0])
    assert stage.slice([11.0, 9.0]) == [-10, 0]  # one up and one down: only the first may be sold short
    stage = Stage(Scripted(shares(10, 10)), filters=(LimitLocked(universe=universe(2), limit=0.1),))
    stage.slice([10.0, 10.0])
    assert stage.slice([11.0, 9.0]) == [0, 10]


def test_rule_22_leaving_an_index_sells_only_where_a_filter_says_so() -> None:
    for exit_, said in (("hold", [10, 0]), ("sell", [0, 0])):
        filters = (Members(universe=universe(2), exit=exit_),)  # type: ignore[arg-type]
        guarded = Guarded(strategy=Scripted(shares(10, 5)), universe=universe(2), name="s", filters=filters)
        guarded.on_bars(bars(day(0), [1.0, 1.0], member=[False, False]))
        answer = guarded.on_signals((signal(day(0), [1.0, 1.0]),), book(day(0), [1.0, 1.0], qty=[10, 0]))
        assert answer is not None
        assert answer.value.tolist() == said


def test_what_was_halted_is_sold_when_it_trades_again() -> None:
    stage = Stage(Scripted(shares(10, 0)), filters=(Halted(exit="sell"),))
    assert stage.slice([10.0, 10.0], qty=[10, 0]) == [10, 0]
    halted = [Status.HALTED, Status.FRESH]
    assert stage.slice([10.0, 10.0], close=[NAN, 10.0], status=halted, qty=[10, 0]) == [0, 0]
    assert ("sell:halted", [0], [10.0]) in stage.notes()
    assert stage.slice([9.0, 10.0], qty=[10, 0]) == [0, 0]  # it passes again, and what began is finished
    assert not any(kind.startswith("sell") for kind, *_ in stage.notes())
    assert stage.slice([9.0, 10.0], qty=[0, 0]) == [10, 0]  # the strategy asks for it anew


def test_who_does_not_pass_is_told_when_it_changes_and_not_every_slice() -> None:
    stage = Stage(Scripted(shares(5, 5), None), filters=(Price(minimum=5),))
    stage.slice([4.0, 6.0])
    assert stage.notes() == [("filter:price", [0], [0.0])]
    assert stage.slice([4.0, 6.0]) is None
    assert stage.slice([6.0, 4.0]) is not None
    assert stage.notes() == [("filter:price", [0, 1], [1.0, 0.0])]
    assert stage.notes() == []


# ---- rules -----------------------------------------------------------------------------------------------------------


def test_a_stop_closes_until_it_is_closed_and_is_told_once() -> None:
    stage = Stage(Scripted(shares(10, 0)), rules=(StopLoss(loss=0.1),))
    assert stage.slice([100.0, 1.0], qty=[10, 0], entry=vector([100, NAN])) == [10, 0]
    assert stage.notes() == []
    assert stage.slice([80.0, 1.0], qty=[10, 0], entry=vector([100, NAN])) == [0, 0]
    assert stage.notes() == [("rule:stop_loss", [0], [pytest.approx(-0.2)])]
    # It did not fill, and the price recovered: a stop that was hit stays hit.
    assert stage.slice([99.0, 1.0], qty=[10, 0], entry=vector([100, NAN])) == [0, 0]
    assert stage.notes() == []
    # A part filled.
    assert stage.slice([99.0, 1.0], qty=[3, 0], entry=vector([100, NAN])) == [0, 0]


def test_what_was_closed_comes_back_only_when_the_strategy_asks_anew() -> None:
    inner = Scripted(shares(10, 5), None, None, None, shares(10, 5))
    stage = Stage(inner, rules=(StopLoss(loss=0.1),))
    entry = vector([100, NAN])
    stage.slice([100.0, 1.0], qty=[10, 0], entry=entry)
    assert stage.slice([80.0, 1.0], qty=[10, 0], entry=entry) == [0, 5]
    assert stage.slice([80.0, 1.0], qty=[0, 0]) is None  # None keeps the last target, without what was closed
    assert stage.slice([80.0, 1.0], qty=[0, 0]) is None
    assert stage.slice([80.0, 1.0], qty=[0, 0]) == [10, 5]


def test_a_stop_of_a_short_covers() -> None:
    stage = Stage(Scripted(shares(-10, 0)), rules=(StopLoss(loss=0.1),))
    assert stage.slice([111.0, 1.0], qty=[-10, 0], entry=vector([100, NAN])) == [0, 0]


def test_a_position_that_was_turned_over_is_another_one() -> None:
    stage = Stage(Scripted(shares(-10, 0)), rules=(StopLoss(loss=0.1),))
    assert stage.slice([80.0, 1.0], qty=[10, 0], entry=vector([100, NAN])) == [0, 0]
    assert stage.slice([80.0, 1.0], qty=[-10, 0], entry=vector([80, NAN])) == [-10, 0]


def test_two_rules_at_once_are_told_by_the_first() -> None:
    stage = Stage(Scripted(shares(10, 0)), rules=(TrailingStop(drop=0.1), StopLoss(loss=0.1)))
    stage.slice([80.0, 1.0], qty=[10, 0], entry=vector([100, NAN]), best=vector([110, NAN]))
    assert [kind for kind, *_ in stage.notes()] == ["rule:trailing_stop"]


def test_a_position_from_before_is_stopped_though_the_strategy_never_spoke() -> None:
    stage = Stage(Scripted(None), rules=(StopLoss(loss=0.1),))
    assert stage.slice([95.0, 50.0], qty=[10, 3], entry=vector([100, 50])) is None
    np.testing.assert_array_equal(stage.slice([80.0, 50.0], qty=[10, 3], entry=vector([100, 50])), [0, NAN])


def test_prices_that_a_strategy_asked_for_are_no_price_for_an_exit() -> None:
    wish = target(0, [10, 5], kind=QUANTITY, limit=np.array([99.0, 1.0]))
    stage = Stage(Scripted(wish), rules=(StopLoss(loss=0.1),))
    stage.slice([80.0, 1.0], qty=[10, 0], entry=vector([100, NAN]))
    np.testing.assert_array_equal(stage.guarded._said.limit, [NAN, 1.0])


def test_a_cool_down_keeps_a_name_out_for_exactly_so_long() -> None:
    stage = Stage(Scripted(shares(10, 0)), rules=(StopLoss(loss=0.1), CoolDown(slices=2, universe=universe(2))))
    answers = [stage.slice([80.0, 1.0], qty=[10, 0], entry=vector([100, NAN]))]
    stage.notes()
    answers.append(stage.slice([80.0, 1.0]))
    assert stage.notes() == [("block:cool_down", [0], [0.0])]
    answers += [stage.slice([80.0, 1.0]) for _ in range(2)]
    assert stage.notes() == [("block:cool_down", [0], [1.0])]
    assert answers == [[0, 0], [0, 0], [0, 0], [10, 0]]


def test_one_name_alone() -> None:
    stage = Stage(Scripted(shares(10)), n=1, rules=(StopLoss(loss=0.1), CoolDown(slices=1, universe=universe(1))))
    answers = [stage.slice([80.0], qty=[10], entry=vector([100])), stage.slice([80.0]), stage.slice([80.0])]
    assert answers == [[0], [0], [10]]


def test_an_exit_follows_a_change_of_symbol() -> None:
    stage = Stage(Scripted(shares(10, 0)), rules=(StopLoss(loss=0.1),))
    stage.slice([80.0, 40.0], qty=[10, 0], entry=vector([100, NAN]))
    stage.guarded.on_actions(actions(ActionKind.SYMBOL_CHANGE, 0, ratio=2.0, successor=1))
    assert stage.slice([80.0, 48.0], qty=[0, 20], entry=vector([NAN, 50])) == [10, 0]  # a stop of 10 % is not hit now


# ---- factors ---------------------------------------------------------------------------------------------------------


def test_a_brake_scales_what_a_strategy_keeps_and_not_its_factor_again() -> None:
    """A strategy that asks for what it holds sees it at full size: half stays half."""
    top = TopkDropout(topk=1, n_drop=0, universe=universe_of(("S0",)), name="s", risk_degree=1.0)
    stage = Stage(top, n=1, rules=(DrawdownBrake(start=0.0, full=1.0, floor=0.5, band=0.0),))
    top.on_bars(bars(day(0), [10.0]))
    qty, found = 0.0, []
    for mark, equity in [(10.0, 1000.0), (10.0, 1000.0), (6.0, 600.0), (6.0, 600.0), (6.0, 600.0), (10.0, 1000.0)]:
        answer = stage.slice([mark], score=[1.0], qty=[qty], cash=0.0, equity=equity)
        qty = round(answer[0], 9) if answer else qty
        found.append(qty)
    # Bought 100; in a drawdown of 40 % the factor is 1 - 0.5 * 0.4 = 0.8, and whole again at the old equity.
    assert found == [100, 100, 80, 80, 80, 100]


def test_a_strategy_sees_the_same_equity_at_full_size() -> None:
    inner = Scripted(shares(100, 0))
    stage = Stage(inner, rules=(DrawdownBrake(start=0.0, full=1.0, floor=0.0, band=0.0),))
    stage.slice([10.0, 1.0], equity=1000.0, qty=[100, 0], cash=0.0)
    stage.slice([5.0, 1.0], equity=500.0, qty=[100, 0], cash=0.0)
    assert stage.notes() == [("rule:drawdown_brake", [], [0.5])]
    stage.slice([5.0, 1.0], equity=500.0, qty=[50, 0], cash=250.0)
    seen = inner.shown[-1][1]
    assert (seen.qty.tolist(), seen.cash.tolist(), seen.equity) == ([100, 0], [0], 500.0)
    assert stage.notes() == []


def test_a_brake_that_is_shut_closes_all_and_asks_for_nothing_new() -> None:
    stage = Stage(Scripted(shares(100, -50)), rules=(DrawdownBrake(start=0.0, full=0.2),))
    stage.slice([10.0, 10.0], equity=1000.0)
    assert stage.slice([10.0, 10.0], equity=700.0, qty=[100, -50]) == [0, 0]
    assert stage.slice([10.0, 10.0], equity=700.0) == [0, 0]


def test_a_factor_adds_nothing_to_a_name_that_does_not_pass() -> None:
    rules = (DrawdownBrake(start=0.0, full=0.5, band=0.0),)
    stage = Stage(Scripted(shares(100, 0)), rules=rules, filters=(Price(minimum=5),))
    stage.slice([10.0, 10.0], equity=1000.0)
    assert stage.slice([10.0, 10.0], equity=750.0, qty=[100, 0]) == [50, 0]
    assert stage.slice([4.0, 10.0], equity=1000.0, qty=[50, 0]) == [50, 0]


class Broken:
    kind = "broken"

    def scale(self, view: Any, weights: Vector, /) -> float:
        return NAN


def test_a_factor_that_is_no_number_names_its_rule() -> None:
    with pytest.raises(ValueError, match="broken: it scales by nan"):
        Stage(Scripted(shares(1, 1)), rules=(Broken(),)).slice([1.0, 1.0])


# ---- schedules -------------------------------------------------------------------------------------------------------


def test_between_two_dates_the_last_target_stands() -> None:
    inner = Scripted(target(0, [0.5, 0.1]), target(0, [0.1, 0.5]))
    stage = Stage(inner, schedule=Every(slices=3))
    answers = [stage.slice([10.0, 10.0], equity=100.0) for _ in range(7)]
    assert answers == [[5, 1], None, None, [1, 5], None, None, [1, 5]]
    assert len(inner.shown) == 3


def test_weights_become_shares_so_that_prices_trade_nothing_in_between() -> None:
    stage = Stage(Scripted(target(0, [0.5, 0.5])), schedule=Every(slices=5))
    assert stage.slice([10.0, 10.0], equity=100.0) == [5, 5]
    assert stage.slice([20.0, 10.0], equity=150.0, qty=[5, 5]) is None
    assert stage.guarded._said.kind is QUANTITY


def test_a_split_in_between_is_followed() -> None:
    stage = Stage(Scripted(target(0, [0.5, 0.5])), schedule=Every(slices=5), rules=(StopLoss(loss=0.1),))
    stage.slice([10.0, 10.0], equity=100.0)
    stage.guarded.on_actions(actions(ActionKind.SPLIT, 0, ratio=2.0))
    assert stage.slice([5.0, 10.0], equity=100.0, qty=[10, 5], entry=vector([5, 10])) is None
    assert stage.slice([5.0, 8.0], equity=90.0, qty=[10, 5], entry=vector([5, 10])) == [10, 0]


def test_before_the_first_target_every_slice_is_due() -> None:
    inner = Scripted(None, None, shares(1, 1))
    stage = Stage(inner, schedule=Every(slices=3))
    assert [stage.slice([1.0, 1.0]) for _ in range(6)] == [None, None, [1, 1], None, None, [1, 1]]


def test_rules_act_between_two_dates_and_what_they_closed_stays_closed() -> None:
    stage = Stage(Scripted(shares(10, 5)), schedule=Every(slices=4), rules=(StopLoss(loss=0.1),))
    held = {"qty": [10, 5], "entry": vector([100, 1])}
    assert stage.slice([100.0, 1.0], **held) == [10, 5]
    assert stage.slice([80.0, 1.0], **held) == [0, 5]
    assert stage.slice([80.0, 1.0], qty=[0, 5]) is None
    assert stage.slice([80.0, 1.0], qty=[0, 5]) is None
    assert stage.slice([80.0, 1.0], qty=[0, 5]) == [10, 5]


def test_filters_cut_between_two_dates() -> None:
    stage = Stage(Scripted(shares(10, 5)), schedule=Every(slices=9), filters=(Price(minimum=5),))
    assert stage.slice([6.0, 6.0]) == [10, 5]
    assert stage.slice([4.0, 6.0], qty=[7, 5]) == [7, 5]  # the rest is not bought below 5
    assert stage.slice([6.0, 6.0], qty=[7, 5]) == [10, 5]


def test_always_is_every_slice() -> None:
    inner = Scripted(shares(1, 1))
    stage = Stage(inner, schedule=Always())
    assert [stage.slice([1.0, 1.0]) for _ in range(3)] == [[1, 1]] * 3


# ---- what is inside --------------------------------------------------------------------------------------------------


class Listening(Scripted):
    """A user's own strategy that takes events and says notes."""

    slow_handlers = ("on_signals",)
    lookback = 7

    def __init__(self) -> None:
        super().__init__(shares(1, 1))
        self.heard: list[str] = []

    def on_timer(self, timer: Any, /) -> Note:
        self.heard.append("timer")
        return Note(ts=1, source="inner", kind="tick")

    def on_book(self, book: Any, /) -> None:
        self.heard.append("book")


def test_a_strategy_hears_what_it_takes_and_nothing_else_is_routed() -> None:
    inner = Listening()
    guarded = Guarded(strategy=inner, universe=universe(2), name="s", filters=(Tradable(),))
    (note,) = guarded.on_timer(None)  # type: ignore[attr-defined]
    assert (note.source, note.kind, inner.heard) == ("s", "tick", ["timer"])
    assert not hasattr(guarded, "on_fills")
    assert (guarded.slow_handlers, guarded.lookback) == (("on_signals",), 7)


def test_an_interval_is_the_strategys() -> None:
    inner = Sign(universe=universe(2), name="s")
    guarded = Guarded(strategy=inner, universe=universe(2), name="s", filters=(Tradable(),))
    guarded.interval_ns = 5
    assert (inner.interval_ns, guarded.interval_ns) == (5, 5)


class Mine:
    def passes(self, view: Any, /) -> Mask:
        return np.zeros(len(view.universe), bool)


def test_guards_of_ones_own_are_held_to_what_all_own_classes_are() -> None:
    sign = Sign(universe=universe(2), name="s")
    assert not users_own(Guarded(strategy=sign, universe=universe(2), name="s", filters=(Tradable(),)))
    assert users_own(Guarded(strategy=sign, universe=universe(2), name="s", filters=(Mine(),)))  # type: ignore[arg-type]
    assert users_own(Guarded(strategy=Scripted(), universe=universe(2), name="s"))


def test_a_filter_without_a_name_goes_by_its_class() -> None:
    stage = Stage(Scripted(shares(1, 1)), filters=(Mine(),))
    assert stage.slice([1.0, 1.0]) == [0, 0]
    assert stage.notes() == [("filter:Mine", [0, 1], [0.0, 0.0])]


class Odd:
    """A piece that answers with the same whatever it is asked."""

    kind = "odd"

    def __init__(self, method: str, answer: Any) -> None:
        setattr(self, method, lambda *asked: answer)


@pytest.mark.parametrize(
    ("slot", "method", "answer", "got"),
    [
        ("filters", "passes", np.ones(3, bool), "bool of shape \\(3,\\)"),
        ("filters", "passes", np.ones((2, 1), bool), "bool of shape \\(2, 1\\)"),
        ("filters", "passes", np.ones(2), "float64 of shape \\(2,\\)"),
        ("filters", "passes", True, "bool of shape \\(\\)"),
        ("rules", "exits", np.ones(2, bool), "bool of shape \\(2,\\)"),
        ("rules", "exits", None, "object of shape"),
        ("rules", "blocks", np.ones((2, 2), bool), "bool of shape \\(2, 2\\)"),
    ],
)
def test_a_piece_that_answers_something_else_is_named(slot: str, method: str, answer: Any, got: str) -> None:
    with pytest.raises(ValueError, match=f"odd: {method} must return .* got {got}"):
        Stage(Scripted(shares(1, 1)), **{slot: (Odd(method, answer),)}).slice([1.0, 1.0])


class Waits:
    interval_ns = 0

    async def on_signals(self, signals: Any, book: Any, /) -> None: ...


def test_a_coroutine_is_refused() -> None:
    with pytest.raises(ValueError, match="on_signals of what stands within a guarded strategy is a coroutine"):
        Guarded(strategy=Waits(), universe=universe(2), name="s")  # type: ignore[arg-type]


def test_a_state_of_other_guards_is_refused() -> None:
    sign = Sign(universe=universe(2), name="s")
    one = Guarded(strategy=sign, universe=universe(2), name="s", filters=(Tradable(),))
    two = Guarded(strategy=sign, universe=universe(2), name="s", filters=(Tradable(), Halted()))
    with pytest.raises(StateError, match="the state is of 1 guards and there are 2 now"):
        two.load(one.save())


# ---- in general ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TopkDropout, Sign])
def test_without_guards_it_is_the_strategy_bit_for_bit(kind: Any) -> None:
    options = {"topk": 3, "n_drop": 1} if kind is TopkDropout else {"short": True}
    plain = kind(universe=universe(), name="s", **options)
    around = Guarded(strategy=kind(universe=universe(), name="s", **options), universe=universe(), name="s")
    for slice_, scores, held in session():
        plain.on_bars(slice_)
        around.on_bars(slice_)
        assert same(around.on_signals((scores,), held), plain.on_signals((scores,), held))


def test_guards_that_let_all_through_change_nothing() -> None:
    filters, rules = (Price(minimum=0), Members(universe=universe())), (StopLoss(loss=1.0), MaxHolding(days=1e4))
    plain = TopkDropout(topk=3, n_drop=1, universe=universe(), name="s")
    inner = TopkDropout(topk=3, n_drop=1, universe=universe(), name="s")
    around = Guarded(strategy=inner, universe=universe(), name="s", filters=filters, rules=rules, schedule=Always())
    for slice_, scores, held in session():
        if np.isnan(held.mark).any():
            continue  # a name never priced does not pass
        plain.on_bars(slice_)
        around.on_bars(slice_)
        one, other = around.on_signals((scores,), held), plain.on_signals((scores,), held)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.value, other.value)
        np.testing.assert_array_equal(one.alpha, other.alpha)


class Among:
    """Passes what it is told to."""

    kind = "among"

    def __init__(self, rows: Any, exit_: str) -> None:
        self.rows, self.exit = rows, exit_

    def passes(self, view: Any, /) -> Mask:
        return np.array(self.rows[view.ts % len(self.rows)])


VALUES = st.lists(st.sampled_from([-30.0, -10.0, 0.0, 5.0, 10.0, 40.0]), min_size=N, max_size=N)
ROW = st.lists(st.booleans(), min_size=N, max_size=N)


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rows=st.lists(st.one_of(ROW, st.tuples(ROW, ROW)), min_size=1, max_size=3),
    kind=st.sampled_from(list(TargetKind)),
    exit_=st.sampled_from(["hold", "sell"]),
    every=st.integers(1, 3),
)
def test_guards_never_add_to_a_name_that_does_not_pass_and_never_turn_a_wish_over(
    data: Any, rows: Any, kind: TargetKind, exit_: str, every: int
) -> None:
    unit = {TargetKind.QUANTITY: 1.0, TargetKind.VALUE: 20.0, TargetKind.WEIGHT: 20.0 / 1e4}[kind]
    wishes = data.draw(st.lists(VALUES, min_size=1, max_size=4))
    inner = Scripted(*(target(0, unit * np.array(each), kind=kind) for each in wishes))
    rules = (DrawdownBrake(start=0.0, full=0.4), StopLoss(loss=0.2))
    around = Guarded(
        strategy=inner,
        universe=universe(),
        name="s",
        filters=(Among(rows, exit_),),
        rules=rules,
        schedule=Every(slices=every) if data.draw(st.booleans()) else None,
    )
    asked: Target | None = None
    for k in range(6):
        qty, working = (np.array(data.draw(VALUES)) for _ in range(2))
        working *= data.draw(st.booleans())
        equity = data.draw(st.sampled_from([1e4, 8e3, 5e3, 1.2e4]))
        entry = np.where(qty != 0, data.draw(st.sampled_from([20.0, 15.0, 26.0])), NAN)
        now = book(day(k), [20.0] * N, qty=qty, working=working, equity=equity, entry=entry)
        around.on_bars(bars(day(k), [20.0] * N))
        before = len(inner.shown)
        answer = around.on_signals((signal(day(k), [1.0] * N),), now)
        if len(inner.shown) > before:
            asked = inner.answers[min(before, len(inner.answers) - 1)]
        said = answer or around._said
        assert said is not None
        assert asked is not None
        wanted = wanted_shares((said,), now, universe())
        passes = np.broadcast_to(np.array(rows[day(k) % len(rows)]), (2, N))
        assert (wanted[~passes[0]] <= np.maximum(qty, 0)[~passes[0]]).all()
        assert (wanted[~passes[1]] >= np.minimum(qty, 0)[~passes[1]]).all()
        assert (wanted * np.sign(asked.value) >= 0).all()
        if exit_ == "sell":
            gone = ((qty > 0) & ~passes[0]) | ((qty < 0) & ~passes[1])
            assert (wanted[gone] == 0).all()
