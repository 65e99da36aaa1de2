"""Classes of a user's own within components of ours, in sessions."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import ComponentError, ConfigError, StateError
from engine.events import Fills, Note, Orders, Target
from samewire import load_run, run
from samewire.explain.lines import missing_text
from samewire.explain.missing import explain_missing
from samewire.prepare import prepare
from samewire.recorded import open_recorded
from samewire.snapshots import latest
from tests.samewire.test_guards import events

INNER = "tests.samewire.inner"
COUNTS, SAYS, TURNS = ({"use": f"{INNER}:{name}"} for name in ("Counts", "Says", "Turns"))
TOP = {"use": "topk_dropout", "topk": 2, "n_drop": 1}
BLEND = {"use": "blend_signals", "strategy": TOP | {"filters": ["tradable", TURNS]}}


def a_run(strategy: Any, costs: Any = None, **more: Any) -> dict[str, Any]:
    session = {"name": "inner", "cash": 1_000_000, "start": "2018-01-02", "end": "2018-03-01", "snapshot_every": 10}
    return {
        "schema": 1,
        "session": session,
        "feed": {"use": "sample", "symbols": 8},
        "models": [{"use": "momentum", "window": 5}],
        "strategy": strategy,
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": costs or {"commission_bps": 5}},
    } | more


@pytest.mark.parametrize(
    ("strategy", "costs", "name"),
    [
        (COUNTS | {"schedule": "weekly"}, None, "strategy.strategy"),
        ({"use": "sleeves", "strategies": ["equal_weight", COUNTS]}, None, "strategy.strategies[1]"),
        (TOP | {"filters": TURNS}, None, "strategy.filters[0]"),
        (BLEND, None, "strategy.strategy.filters[1]"),
        (TOP, {"use": f"{INNER}:Dearer"}, "broker.costs"),
        (TOP, [{"use": "bps"}, {"use": f"{INNER}:Dearer"}], "broker.costs.parts[1]"),
    ],
)
def test_what_stands_within_and_cannot_be_saved_is_named(strategy: Any, costs: Any, name: str, tmp_path: Path) -> None:
    """A session that would go on from nothing there is taken up nowhere but at its start."""
    run(a_run(strategy, costs), out=tmp_path / "out")
    with pytest.raises(ConfigError) as refused:
        latest(tmp_path / "out" / "journal")
    assert str(refused.value).startswith(f"{name}: it has no save and load")


def test_one_that_can_be_saved_is_in_the_way_of_nothing(tmp_path: Path) -> None:
    run(a_run(SAYS | {"schedule": "weekly", "filters": "tradable"}), out=tmp_path / "out")
    assert latest(tmp_path / "out" / "journal").without == []


def test_a_volatility_target_that_knows_no_risk_says_so_once(tmp_path: Path) -> None:
    rule = {"use": "volatility_target", "target": 0.05, "risk_model": f"{INNER}:Blind"}
    run(a_run(TOP | {"rules": rule}), out=tmp_path / "out")
    (note,) = [note for note in events(tmp_path / "out", Note) if note.kind == "rule:volatility_target"]
    assert "variance of what is wanted is nan, so the last factor stands: all that is wanted is multiplied" in note.text
    assert note.value.tolist() == [1.0]


def explained(folder: Path, symbol: str, time: str = "2018-02-20") -> dict[str, Any]:
    return explain_missing(open_recorded(folder / "out"), symbol, time)


def guards_told(doc: dict[str, Any]) -> list[str]:
    return [reason["text"] for reason in doc["reasons"] if reason["stage"] == "guard"]


def test_a_filter_that_lets_nothing_through_is_told_though_nothing_is_ever_wanted(tmp_path: Path) -> None:
    run(a_run(TOP | {"filters": {"use": "price", "minimum": 100_000}}), out=tmp_path / "out")
    (note,) = [note for note in events(tmp_path / "out", Note) if note.kind == "filter:price"]
    assert (len(note.symbol), set(note.value.tolist())) == (8, {0.0})
    symbol = open_recorded(tmp_path / "out").symbols[0]
    (text,) = guards_told(explained(tmp_path, symbol))
    assert text.startswith("it does not pass the filter price of strategy, since 2018-01-0")
    assert not events(tmp_path / "out", Orders)


def test_two_filters_of_a_kind_are_told_apart(tmp_path: Path) -> None:
    """The second lets the name pass later on; the first never does."""
    (tmp_path / "r.csv").write_text("date,symbol,flag\n2018-01-02,CO01,1\n2018-01-15,CO01,0\n")
    filters = [{"use": "restricted", "symbols": ["CO01"]}]
    filters += [{"use": "restricted", "table": str(tmp_path / "r.csv"), "column": "flag"}]  # type: ignore[dict-item]
    run(a_run(TOP | {"topk": 6, "filters": filters}), out=tmp_path / "out")
    doc = explained(tmp_path, "CO01")
    (text,) = guards_told(doc)
    assert text.startswith("it does not pass the filter restricted[0] of strategy, since 2018-01-0")
    kinds = {note.kind for note in events(tmp_path / "out", Note)}
    assert {"filter:restricted[0]", "filter:restricted[1]"} <= kinds


def test_guards_of_two_sleeves_are_told_apart(tmp_path: Path) -> None:
    """A name passes in the one and never in the other."""
    inside = [TOP | {"topk": 6, "filters": {"use": "price", "minimum": least}} for least in (1_000_000, 100)]
    run(a_run({"use": "sleeves", "names": ["none", "some"], "strategies": inside}), out=tmp_path / "out")
    passing = [note for note in events(tmp_path / "out", Note) if note.kind == "filter:price@some"]
    of = open_recorded(tmp_path / "out")
    symbol = next(int(s) for note in passing for s, v in zip(note.symbol, note.value, strict=True) if v == 1)
    told = explained(tmp_path, of.symbols[symbol], "2018-03-01")
    assert "strategy.none" in {each["source"] for each in told["guards"]}
    assert any("the filter price of strategy.none, since 2018-01" in text for text in guards_told(told))


def test_what_a_strategy_within_guards_writes_over_was_said_as_it_was(tmp_path: Path) -> None:
    """One that fills the same arrays again decides what one with new ones decides."""
    around = {"filters": TURNS, "schedule": {"use": "every", "slices": 4}}
    found = []
    for name in ("Reuses", "Renews"):
        run(a_run({"use": f"{INNER}:{name}"} | around), out=tmp_path / name)
        found.append([event.value.tolist() for event in events(tmp_path / name, Target)])
    assert len(found[0]) > 10
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("short", "of its Target columns differ in length"),
        ("dict", "it answered dict, not a Target of 8 values and a TargetKind, or None"),
        ("kind", "it answered Target, not a Target of 8 values and a TargetKind, or None"),
        ("late", "it said Target with ts"),
        ("list", "of its Target value is a list, not an array of float64"),
        ("alpha", "of its Target columns differ in length"),
        ("raise", "KeyError: 'x'"),
        ("exit", "SystemExit: 3"),
    ],
)
@pytest.mark.parametrize("outer", ["guarded", "sleeves", "blend_signals"])
def test_a_wrong_answer_within_is_named(how: str, said: str, outer: str, tmp_path: Path) -> None:
    wrong = {"use": f"{INNER}:Wrong", "how": how}
    strategies: dict[str, tuple[Any, str]] = {
        "guarded": (wrong | {"schedule": "weekly"}, "strategy.strategy"),
        "sleeves": ({"use": "sleeves", "strategies": ["equal_weight", wrong]}, "strategy.sleeve 2"),
        "blend_signals": ({"use": "blend_signals", "strategy": wrong}, "strategy.strategy"),
    }
    strategy, name = strategies[outer]
    with pytest.raises(ComponentError) as failed:
        run(a_run(strategy), out=tmp_path / "out")
    assert str(failed.value).startswith((f"{name}: failed on Signal of 2018-", f"{name}: failed on Target of 2018-"))
    assert said in str(failed.value)


def test_what_pieces_of_ones_own_see_is_theirs_to_read_and_not_to_write(tmp_path: Path) -> None:
    run(a_run(TOP | {"filters": f"{INNER}:Writes", "schedule": "weekly"}), out=tmp_path / "writes")
    run(a_run(TOP | {"filters": "tradable", "schedule": "weekly"}), out=tmp_path / "plain")
    wanted = [[event.value.tolist() for event in events(tmp_path / name, Target)] for name in ("writes", "plain")]
    assert wanted[0] == wanted[1]


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raise", "KeyError: 'k'"),
        ("text", "it answered a str, not bytes"),
        ("none", "it answered a NoneType, not bytes"),
        ("array", "it answered a ndarray, not bytes"),
    ],
)
@pytest.mark.parametrize("outer", ["guarded", "sleeves"])
def test_a_part_that_cannot_be_saved_is_named(how: str, said: str, outer: str, tmp_path: Path) -> None:
    part = {"use": f"{INNER}:Saves", "how": how}
    strategy, name = (part | {"schedule": "weekly"}, "strategy.strategy")
    if outer == "sleeves":
        strategy, name = {"use": "sleeves", "strategies": ["equal_weight", part], "names": ["a", "b"]}, "strategy.b"  # type: ignore[dict-item]
    with pytest.raises(ComponentError) as failed:
        run(a_run(strategy), out=tmp_path / "out")
    assert str(failed.value).startswith(f"{name}: failed on save of 2018-")
    assert said in str(failed.value)


def test_a_part_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    part = {"use": f"{INNER}:Saves", "how": "load"}
    run(a_run(part | {"schedule": "weekly"}), out=tmp_path / "out")
    snapshot = latest(tmp_path / "out" / "journal")
    with pytest.raises(StateError, match=r"^strategy.strategy: it cannot load what it saved: ValueError: cannot"):
        prepare(open_recorded(tmp_path / "out").run).session.wiring.load(snapshot.wiring)


@pytest.mark.parametrize("outer", ["sleeves", "blend_signals"])
@pytest.mark.parametrize("method", ["on_signals", "on_bars"])
def test_a_coroutine_within_is_refused_before_the_first_slice(outer: str, method: str, tmp_path: Path) -> None:
    part = {"use": f"{INNER}:Waits", "method": method}
    inside: dict[str, Any] = {"strategies": [part]} if outer == "sleeves" else {"strategy": part}
    with pytest.raises(ConfigError, match=f"strategy[.].*: {method} is a coroutine; within another strategy"):
        prepare(load_run(a_run({"use": outer} | inside)))


def sides(*weights: float) -> dict[str, Any]:
    inside = [{"use": f"{INNER}:Side", "weight": weight} for weight in weights]
    run_ = a_run({"use": "sleeves", "names": ["up", "down"], "strategies": inside})
    return run_ | {"broker": run_["broker"] | {"short": True}}


def test_what_sleeves_want_and_cross_is_told_and_named(tmp_path: Path) -> None:
    """Nearly all that the two want meets within, and what they say to those fills is in the journal."""
    run(sides(0.4, -0.4), out=tmp_path / "out")
    notes: dict[str, list[Note]] = {}
    for note in events(tmp_path / "out", Note):
        notes.setdefault(note.kind, []).append(note)
    for name, weight in (("up", 0.4), ("down", -0.4)):
        (wish,) = notes[f"wants:weight@{name}"]
        assert (wish.symbol.tolist(), wish.value.tolist()) == ([0], [weight])
        crossed = notes[f"crossed@{name}"]
        assert crossed[0].value[0] * weight > 0
        assert {note.ts for note in crossed} <= {note.ts for note in notes[f"filled@{name}"]}
    doc = explained(tmp_path, open_recorded(tmp_path / "out").symbols[0], "2018-01-10")
    assert [(each["source"], each["kind"], each["value"]) for each in doc["sleeves"]] == [
        ("strategy.up", "weight", 0.4),
        ("strategy.down", "weight", -0.4),
    ]
    text = missing_text(doc)
    assert "strategy.up wants a weight of 0.4, since 2018-01-" in text
    assert "with other sleeves at 2018-01-" in text


def test_fills_are_handed_to_a_sleeve_at_the_instant_of_their_event(tmp_path: Path) -> None:
    """What a strategy says to them has their ts, and is heard."""
    run(sides(0.4, -0.2), out=tmp_path / "out")
    filled = [note for note in events(tmp_path / "out", Note) if note.kind == "filled@up"]
    slices = {event.ts for event in events(tmp_path / "out", Fills) if event.qty.size}
    assert slices <= {note.ts for note in filled}
    assert slices
