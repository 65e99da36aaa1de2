"""The gate in whole sessions: what a run file sets, what trips, what the report says, and that all is checked."""

from typing import Any

import numpy as np
import pytest

from engine.bus import Bus
from engine.errors import ConfigError
from engine.events import Approved, Book, Control, ControlAction, Mode, Note, Refusals
from engine.session import Replay, Session
from engine.universe import universe_of
from samewire import run
from samewire.build import Given, construct
from samewire.cautions import cautions
from samewire.diagnostics import RunFileErrors
from samewire.prepare import prepare
from samewire.reach import days
from samewire.schema import load_run
from tests.conformance.streams import same

RUN: dict[str, Any] = {
    "schema": 1,
    "session": {"name": "risk", "start": "2020-01-02", "end": "2020-12-31", "cash": 1_000_000, "benchmark": "none"},
    "feed": {"use": "sample", "symbols": 10},
    "models": [{"use": "momentum", "window": 20}],
    "strategy": {"use": "sign", "gross": 1.4, "short": True},
    "optimizer": "direct",
    "broker": {"use": "simulated", "fill": "next_open", "short": True, "leverage": 2, "costs": "bps"},
}


class Rows:
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def append(self, origins: Any, events: Any, /) -> None:
        self.events += zip(origins, events, strict=True)


async def recorded(risk: dict[str, Any], controls: tuple[Control, ...] = (), **changes: Any) -> tuple[Rows, Any]:
    """All events of a session, and its wiring."""
    prepared = prepare(load_run(RUN | {"risk": risk} | changes))
    rows = Rows()
    session = Session(prepared.session.wiring, recorders=(rows,))
    sources = (*prepared.sources, *([Replay(lambda: iter(controls))] if controls else []))
    await session.run(*sources)
    return rows, session.wiring


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
@pytest.mark.parametrize("action", ["reduce_only", "halt", "flatten"])
async def test_a_drawdown_trips_in_a_session_and_nothing_is_added_from_then_on(action: str, fill: str) -> None:
    risk = {"max_drawdown": 0.03, "on_drawdown": action}
    rows, wiring = await recorded(risk, broker=RUN["broker"] | {"fill": fill})
    controls = [(origin, event) for origin, event in rows.events if isinstance(event, Control)]
    assert [(origin, event.latch, event.action) for origin, event in controls] == [
        ("risk", "max_drawdown", ControlAction(action))
    ]
    at = next(i for i, (_, event) in enumerate(rows.events) if isinstance(event, Control))
    mode = Mode.REDUCE_ONLY if action == "reduce_only" else Mode.HALTED
    after = [event for _, event in rows.events[at:] if isinstance(event, Book)]
    assert {event.mode for event in after if event.ts > controls[0][1].ts} == {mode}
    size = np.array([np.abs(event.qty) for event in after])
    assert (np.diff(size, axis=0) <= 0).all()  # no position grows; the market was shut when the book that trips came
    if action == "flatten":
        assert not size[-1].any()
    assert wiring.ledger.book(0).mode is mode


async def test_an_operator_releases_what_tripped_by_its_name_and_his() -> None:
    rows, _ = await recorded({"max_drawdown": 0.03})
    tripped = next(event.ts for _, event in rows.events if isinstance(event, Control))
    resume = Control(ts=tripped + 1, action=ControlAction.RESUME, latch="max_drawdown", actor="jo")
    rows, wiring = await recorded({"max_drawdown": 0.03}, (resume,))
    said = [event for _, event in rows.events if isinstance(event, Control)]
    assert said[1] is resume
    later = [event.ts for _, event in rows.events if isinstance(event, Approved) and event.ts > tripped]
    assert len(later) > 10
    assert len(said) == 2 or said[2].ts > tripped + 5 * 86_400 * 10**9  # it may fall as far again, from there


@pytest.mark.parametrize("after", [-3, 0, 1, 7])
async def test_a_latch_survives_a_restart_around_the_slice_in_which_it_was_set(after: int) -> None:
    """Cut before, at and after the input that trips: the rest of the session is what it was without a stop."""
    risk = {"max_drawdown": 0.03, "max_daily_loss": 0.02, "max_participation": 0.05, "max_orders_per_minute": 6}
    prepared = prepare(load_run(RUN | {"risk": risk}))
    feed, (start, end) = prepared.feed, days(prepared.feed, *prepared_days(prepared))
    inputs = list(feed.events(start, end))
    straight = Bus(prepared.session.wiring.routes)
    whole = [await straight.feed(event) for event in inputs]
    trip = next(i for i, said in enumerate(whole) if any(isinstance(event, Control) for event in said))
    cut = trip + 1 + after
    first, second = (prepare(load_run(RUN | {"risk": risk})).session.wiring for _ in range(2))
    bus = Bus(first.routes)
    for event in inputs[:cut]:
        await bus.feed(event)
    second.load(first.save())
    bus = Bus(second.routes)
    rest = [await bus.feed(event) for event in inputs[cut : cut + 40]]
    assert same(rest, whole[cut : cut + 40])
    assert second.ledger.book(0).mode is Mode.REDUCE_ONLY


def prepared_days(prepared: Any) -> tuple[Any, Any]:
    return prepared.run_file.session.start, prepared.run_file.session.end


async def test_every_limit_at_once_holds_in_every_book_and_refuses_with_figures() -> None:
    risk = {
        "max_order_value": 150_000,
        "max_order_qty": 4_000,
        "price_collar": 0.1,
        "max_position": 5_000,
        "max_weight": 0.2,
        "max_gross": 1.1,
        "max_net": 0.6,
        "max_sector_gross": 0.35,
        "max_sector_net": 0.3,
        "max_participation": 0.02,
        "max_orders_per_minute": 8,
        "max_open_orders": 8,
        "max_bar_age": "30h",
        "restricted": ["EN01"],
        "banned": ["UT01"],
    }
    rows, wiring = await recorded(risk)
    symbols = wiring.parts.universe.symbols
    books = [event for _, event in rows.events if isinstance(event, Book)]
    for name in ("EN01", "UT01"):
        assert not any(event.qty[symbols.index(name)] for event in books)
    assert max(np.abs(event.qty).max() for event in books) <= 5_000 * 1.5  # splits
    assert max(float(np.abs(event.qty * np.nan_to_num(event.mark)).sum()) / event.equity for event in books) < 1.25
    refused = {rule for _, event in rows.events if isinstance(event, Refusals) for rule in event.rule}
    assert len(refused) >= 5
    assert refused <= {*risk, "price"}


async def test_volumes_before_the_start_count() -> None:
    """The slices before the session warm the gate up as they do the models."""
    risk = {"max_participation": 0.05, "volume_slices": 15}
    prepared = prepare(load_run(RUN | {"risk": risk}))
    await prepared.warm_up()
    gate = prepared.session.wiring.parts.gate.component
    seen = gate._seen.save()["volume"]
    assert seen.shape == (15, 10)
    assert np.isfinite(seen).mean() > 0.9


def test_a_session_that_ended_halted_says_so() -> None:
    result = run(RUN | {"risk": {"max_drawdown": 0.03}})
    (said,) = [text for text in result.summary["warnings"] if "ended" in text and "REDUCE_ONLY" in text]
    assert said == "The session ended REDUCE_ONLY: `samewire tap controls` says since when, and why."
    assert not any("session ended" in text for text in run(RUN).summary["warnings"])


def test_a_name_in_a_list_that_is_no_symbol_is_told_with_the_nearest_that_is() -> None:
    for feed in ({"use": "sample"}, {"use": "aggregate", "of": {"use": "sample"}, "to": ["1w"]}):
        with pytest.raises(RunFileErrors) as caught:
            load_run(RUN | {"feed": feed, "risk": {"restricted": ["EN01", "TEO1"]}})
        (problem,) = caught.value.problems
        assert (problem.code, problem.path, problem.got) == ("E111", "risk.restricted[1]", "TEO1")
        assert problem.hint.startswith('did you mean "TE')
    load_run(
        RUN | {"feed": {"use": "csv", "path": "x", "stamped": "close"}, "risk": {"banned": ["ANY"]}}
    )  # not known yet


def test_a_list_that_names_no_symbol_of_a_feed_that_had_to_be_read_is_an_error_of_the_run_file() -> None:
    component = load_run(RUN | {"risk": {"restricted": ["EN01"]}}).risk
    given = Given(session="s", seed=1, universe=universe_of(("EN02", "FI01")))
    with pytest.raises(ConfigError, match=r"restricted names 'EN01', which is no symbol of the universe; did you mean"):
        construct(component, given)


def test_a_limit_by_sector_is_warned_of_where_the_feed_tells_no_sectors() -> None:
    file = {"use": "csv", "path": "x", "stamped": "close"}
    (text,) = [str(c) for c in cautions(load_run(RUN | {"feed": file, "risk": {"max_sector_net": 0.3}}))]
    assert text.startswith("risk.max_sector_net: the feed tells no sectors")
    for feed in ({"use": "sample"}, file | {"sectors": "s.csv"}, file | {"instruments": "i.csv"}):
        assert cautions(load_run(RUN | {"feed": feed, "risk": {"max_sector_net": 0.3}})) == ()
    assert cautions(load_run(RUN | {"feed": file, "risk": {"max_net": 0.3}})) == ()


@pytest.mark.parametrize("actor", ["", " ", "risk"])
async def test_ledger_and_gate_release_for_nobody_who_is_not_named(actor: str) -> None:
    wiring = prepare(load_run(RUN)).session.wiring
    bus = Bus(wiring.routes)
    await bus.feed(Control(ts=1, action=ControlAction.HALT, actor="jo"))
    said = await bus.feed(Control(ts=2, action=ControlAction.RESUME, actor=actor))
    assert [event.kind for event in said if isinstance(event, Note)] == ["latch"]
    assert wiring.ledger.book(3).mode is Mode.HALTED
    await bus.feed(Control(ts=4, action=ControlAction.RESUME, actor="jo"))
    assert wiring.ledger.book(5).mode is Mode.ACTIVE
