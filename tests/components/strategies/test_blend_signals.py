"""Several signals as one, and strategies inside strategies."""

from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from components.strategies.blend_signals import BlendSignals
from components.strategies.sign import Sign
from components.strategies.topk_dropout import TopkDropout
from engine.errors import ComponentError, ConfigError, StateError
from engine.events import Bars, Book, Note, Signal, Target, TargetKind, Timer
from tests.components.strategies.asked import names
from tests.make import bars, book, day, signal

NAN, INF = np.nan, np.inf


class Listening:
    """A strategy that keeps what it is given and says what it is told to say."""

    interval_ns = 0
    lookback = 7
    slow_handlers = ("on_signals",)

    def __init__(self, answer: Target | None = None) -> None:
        self.answer, self.heard, self.seen = answer, list[Any](), list[Signal]()

    def on_bars(self, bars: Bars, /) -> Note:
        self.heard.append(bars)
        return Note(ts=bars.ts, source="inner", kind="seen", text="a bar")

    def on_timer(self, timer: Timer, /) -> None:
        self.heard.append(timer)

    def on_signals(self, signals: tuple[Signal, ...], book: Book, /) -> Target | None:
        self.seen += signals
        return self.answer

    def save(self) -> bytes:
        return str(len(self.heard)).encode()

    def load(self, state: bytes, /) -> None:
        self.heard = [None] * int(state)


def combined(values: dict[str, list[float]], **options: Any) -> Signal:
    inner = Listening()
    n = len(next(iter(values.values())))
    blend = BlendSignals(strategy=inner, universe=names(n), name="blend", **options)
    said = tuple(signal(day(0), value, source=source) for source, value in values.items())
    blend.on_signals(said, book(day(0), [10.0] * n))
    (heard,) = inner.seen
    return heard


TWO = {"a": [0.1, 0.2, 0.3, NAN], "b": [30.0, -10.0, 20.0, 5.0]}


def test_z_scores_are_averaged_as_qlibs_average_ensemble_does() -> None:
    frame = pd.DataFrame(TWO)
    expected = ((frame - frame.mean()) / frame.std()).mean(axis=1)
    np.testing.assert_allclose(combined(TWO).value, expected)


def test_ranks_are_spread_about_zero_whatever_the_number_of_names() -> None:
    value = combined(TWO, combine="rank").value
    a, b = np.array([1, 2, 3, NAN]), np.array([4, 1, 3, 2])
    expected = np.nanmean(np.stack([(a - 0.5) / 3 - 0.5, (b - 0.5) / 4 - 0.5]), axis=0)
    np.testing.assert_allclose(value, expected)


def test_plain_means_weigh_by_name() -> None:
    value = combined(TWO, combine="mean", weights={"a": 3.0}).value
    np.testing.assert_allclose(value, [(0.3 + 30) / 4, (0.6 - 10) / 4, (0.9 + 20) / 4, 5.0])


def test_names_that_not_all_have_an_opinion_of_are_dropped_where_asked() -> None:
    value = combined(TWO, combine="mean", missing="drop").value
    np.testing.assert_allclose(value, [15.05, -4.9, 10.15, NAN])
    value = combined(TWO, combine="mean", missing="drop", weights={"a": 0.0}).value
    np.testing.assert_allclose(value, TWO["b"])  # a signal that counts nothing need not have one


def test_a_signal_that_tells_no_name_from_another_has_no_opinion() -> None:
    values = {"a": [1.0, 2.0, 3.0], "flat": [5.0, 5.0, 5.0], "none": [NAN, INF, -INF]}
    np.testing.assert_allclose(combined(values).value, [-1.0, 0.0, 1.0])
    assert np.isnan(combined({"flat": [5.0, 5.0], "none": [NAN, NAN]}).value).all()


def test_no_unit_and_no_explosion_of_one_signal_drowns_the_other() -> None:
    mine = combined(TWO).value
    huge = {"a": TWO["a"], "b": [1e300 * x for x in TWO["b"]]}
    np.testing.assert_allclose(combined(huge).value, mine)


def test_the_combined_signal_is_as_old_as_the_oldest_of_those_read() -> None:
    inner = Listening()
    blend = BlendSignals(strategy=inner, universe=names(2), name="blend", signals=("a", "b"))
    said = (
        signal(day(5), [1, 2], source="a", asof=day(5)),
        signal(day(5), [1, 2], source="b", asof=day(3)),
        signal(day(5), [9, 0], source="c", asof=day(1)),
    )
    blend.on_signals(said, book(day(5), [10.0, 10.0]))
    (heard,) = inner.seen
    assert (heard.source, heard.ts, heard.asof, heard.horizon_ns) == ("blend", day(5), day(3), said[0].horizon_ns)
    other = msgspec.structs.replace(said[1], horizon_ns=7)
    blend.on_signals((said[0], other), book(day(5), [10.0, 10.0]))
    assert inner.seen[1].horizon_ns == 0


def test_signals_that_do_not_come_are_named() -> None:
    with pytest.raises(ValueError, match="no signal comes from 'c'"):
        combined(TWO, signals=("a", "c"))
    with pytest.raises(ValueError, match="blend: weights names 'c'; the signals that come: a, b"):
        combined(TWO, weights={"c": 1.0})
    empty = BlendSignals(strategy=Listening(), universe=names(2), name="blend")
    with pytest.raises(ValueError, match="there is no signal to blend"):
        empty.on_signals((), book(day(0), [10.0, 10.0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"combine": "sum"}, "combine must be one of zscore, rank, mean"),
        ({"missing": "zero"}, "missing must be one of skip, drop"),
        ({"signals": ("a", "a")}, "signals must name each signal once"),
        ({"weights": {"a": -1.0}}, "weights: a must be finite and at least 0"),
        ({"signals": ("a",), "weights": {"b": 1.0}}, "weights names 'b', which is not among signals"),
    ],
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        combined(TWO, **options)


def test_it_decides_what_the_strategy_inside_decides_of_the_combined_signal() -> None:
    universe = names(4)
    top = {"topk": 2, "n_drop": 1, "universe": universe}
    blend = BlendSignals(strategy=TopkDropout(name="i", **top), universe=universe, name="blend")  # type: ignore[arg-type]
    plain = TopkDropout(name="blend", **top)  # type: ignore[arg-type]
    rng, qty = np.random.default_rng(0), np.zeros(4)
    for k in range(20):
        slice_, where = bars(day(k), [10.0] * 4), book(day(k), [10.0] * 4, cash=1000.0 - 10 * qty.sum(), qty=qty)
        a, b = rng.normal(size=4), np.where(rng.random(4) < 0.3, NAN, rng.normal(size=4))
        score = combined({"a": a.tolist(), "b": b.tolist()}).value
        blend.on_bars(slice_)  # type: ignore[attr-defined]
        plain.on_bars(slice_)
        said = blend.on_signals((signal(day(k), a, source="a"), signal(day(k), b, source="b")), where)
        expected = plain.on_signals((signal(day(k), score),), where)
        assert said is not None
        assert expected is not None
        assert said.source == "blend"
        assert said.value.tolist() == expected.value.tolist()
        qty = said.value


# ---- strategies inside -----------------------------------------------------------------------------------------------


def test_what_the_inner_one_takes_is_handed_on_and_no_more() -> None:
    inner = Listening()
    blend: Any = BlendSignals(strategy=inner, universe=names(1), name="blend")
    assert not hasattr(blend, "on_actions")
    assert (blend.lookback, blend.slow_handlers) == (7, ("on_signals",))
    (note,) = blend.on_bars(bars(day(0), [10.0]))
    assert (note.source, note.kind, note.text) == ("blend", "seen@strategy", "strategy: a bar")
    blend.on_timer(Timer(ts=day(0), name="x", due=day(0)))
    assert [type(event) for event in inner.heard] == [Bars, Timer]
    sign: Any = BlendSignals(strategy=Sign(universe=names(1), name="s"), universe=names(1), name="blend")
    assert not hasattr(sign, "on_timer")


def test_its_state_is_that_of_the_inner_one() -> None:
    inner, fresh = Listening(), Listening()
    blend: Any = BlendSignals(strategy=inner, universe=names(1), name="blend")
    blend.on_bars(bars(day(0), [10.0]))
    BlendSignals(strategy=fresh, universe=names(1), name="blend").load(blend.save())
    assert len(fresh.heard) == 1


def test_the_interval_is_that_of_the_inner_one_and_no_other() -> None:
    inner = Sign(universe=names(1), name="s", interval_ns=60)
    blend = BlendSignals(strategy=inner, universe=names(1), name="blend")
    assert blend.interval_ns == 60
    blend.interval_ns = 60
    with pytest.raises(ConfigError, match="blend: its interval is 1.2e-07 s and that of what is inside 6e-08 s"):
        blend.interval_ns = 120


@pytest.mark.parametrize("length", [1, 3])
def test_a_target_of_another_length_is_refused_by_name(length: int) -> None:
    value = np.ones(length)
    wrong = Target(
        ts=day(0), source="x", kind=TargetKind.WEIGHT, value=value, alpha=value, limit=value * NAN, stop=value * NAN
    )
    blend = BlendSignals(strategy=Listening(wrong), universe=names(2), name="blend")
    with pytest.raises(ComponentError, match="^blend.strategy: .* it answered Target, not a Target of 2 values"):
        blend.on_signals((signal(day(0), [1, 2]),), book(day(0), [10.0, 10.0]))


def test_what_a_class_of_the_users_own_says_is_checked_and_copied() -> None:
    value = np.ones(2)
    own = Target(
        ts=day(0), source="x", kind=TargetKind.WEIGHT, value=value, alpha=value, limit=value * NAN, stop=value * NAN
    )
    where = book(day(0), [10.0, 10.0])
    blend = BlendSignals(strategy=Listening(own), universe=names(2), name="blend")
    said = blend.on_signals((signal(day(0), [1, 2]),), where)
    value[:] = 7.0
    assert said is not None
    assert said.value.tolist() == [1.0, 1.0]
    late = BlendSignals(strategy=Listening(msgspec.structs.replace(own, ts=5)), universe=names(2), name="blend")
    with pytest.raises(ComponentError, match="it said Target with ts 5"):
        late.on_signals((signal(day(0), [1, 2]),), where)


def test_state_of_another_number_of_strategies_is_refused() -> None:
    from components.strategies.nested import Nested

    two = Nested("n", (Listening(), Listening()), ("a", "b"))
    with pytest.raises(StateError, match="n: 1 strategies were saved and there are 2 now"):
        two.load([b"0"])
    slow, fast = Sign(universe=names(1), name="s", interval_ns=60), Sign(universe=names(1), name="f", interval_ns=30)
    with pytest.raises(ValueError, match="n: its strategies work on bars of several intervals"):
        Nested("n", (slow, fast), ("slow", "fast"))
