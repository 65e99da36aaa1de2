"""Filters, rules and a schedule in a run file: read beside the options of any strategy, replayed and explained."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from components.strategies.sign import Sign
from engine.bus import Bus
from engine.events import DAY_NS, Bars, Book, Fills, LegAction, Note, Orders, Target
from engine.ids import id_text
from samewire import run
from samewire.cautions import cautions
from samewire.cli import main
from samewire.explain.lines import missing_text, order_text
from samewire.explain.missing import explain_missing
from samewire.explain.orders import explain_order
from samewire.json_schema import json_schema
from samewire.prepare import prepare
from samewire.reach import days
from samewire.recorded import open_recorded
from samewire.run_file import strategy_text
from samewire.schema import config_hash, dump_run, load_run
from tests.adapters.files.made import parquet
from tests.make import day
from tests.samewire.said import plain_run, problems
from tests.samewire.scripted import config, feed, wish

WEEKLY: dict[str, Any] = {
    "use": "topk_dropout",
    "topk": 5,
    "n_drop": 2,
    "filters": [{"use": "price", "minimum": 20}, "tradable", {"use": "sector", "deny": ["Energy"]}],
    "rules": [{"use": "stop_loss", "loss": 0.04}, {"use": "cool_down", "slices": 4}],
    "schedule": {"use": "weekly", "weekday": "wed"},
}
SAMPLE: dict[str, Any] = {
    "schema": 1,
    "session": {"name": "guards", "cash": 1_000_000, "start": "2018-01-02", "end": "2018-06-29"},
    "feed": {"use": "sample"},
    "models": [{"name": "trend", "use": "momentum", "window": 10}],
    "strategy": WEEKLY,
    "optimizer": "direct",
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
}


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_guards_stand_beside_the_options_of_any_strategy() -> None:
    made = load_run(
        plain_run(strategy={"use": "tests.samewire.own:Equal", "rules": [{"use": "stop_loss", "loss": 0.1}]})
    )
    (strategy,) = made.strategies
    assert (strategy.use, strategy.name) == ("guarded", "strategy")
    assert strategy.options["strategy"].use == "tests.samewire.own:Equal"
    assert [rule.use for rule in strategy.options["rules"]] == ["stop_loss"]
    assert strategy_text(strategy) == "tests.samewire.own:Equal (stop_loss)"


@pytest.mark.parametrize("nothing", [{}, {"filters": []}, {"rules": [], "schedule": None}])
def test_no_guards_are_no_guards(nothing: dict[str, Any]) -> None:
    plain = load_run(plain_run(strategy={"use": "sign"}))
    same = load_run(plain_run(strategy={"use": "sign"} | nothing))
    assert same.strategies == plain.strategies
    assert config_hash(same) == config_hash(plain)


def test_each_of_several_strategies_has_its_own() -> None:
    one = {"name": "a", "use": "sign", "schedule": {"use": "every", "slices": 5}, "interval": "1d"}
    made = load_run(plain_run(strategy=[one, {"name": "b", "use": "sign", "filters": "tradable"}]))
    assert [(each.name, each.use, each.interval_ns) for each in made.strategies] == [
        ("a", "guarded", DAY_NS),
        ("b", "guarded", 0),
    ]
    assert made.strategies[0].options["strategy"].interval_ns == 0


def test_what_is_written_back_is_as_one_would_write_it(tmp_path: Path) -> None:
    made = load_run(SAMPLE)
    path = tmp_path / "again.yaml"
    path.write_text(dump_run(made))
    (said,) = yaml.safe_load(path.read_text())["strategy"]
    assert (said["use"], said["topk"], said["schedule"]) == ("topk_dropout", 5, {"use": "weekly", "weekday": "wed"})
    assert load_run(path) == made


def test_guards_within_guards_are_written_back_too(tmp_path: Path) -> None:
    inner = {"use": "sign", "filters": ["halted"], "interval_ns": 0}
    outer = {"use": "guarded", "strategy": inner, "rules": [{"use": "max_holding", "slices": 3}]}
    for strategy in (outer, {"use": "guarded", "strategy": "sign"}, inner | {"name": "x"}):
        made = load_run(plain_run(strategy=strategy))
        path = tmp_path / "again.yaml"
        path.write_text(dump_run(made))
        assert load_run(path) == made
        assert dump_run(load_run(path)) == dump_run(made)


def test_set_reaches_the_strategy_and_what_stands_around_it() -> None:
    changes = [
        "strategy.topk=7",
        "strategy.rules[0].loss=0.2",
        "strategy.schedule=month_end",
        "strategy.filters[1]=age",
    ]
    made = load_run(SAMPLE, [*changes, "strategy.filters[1].slices=9", "strategy.schedule.session=2"])
    guarded = made.strategies[0].options
    assert guarded["strategy"].options["topk"] == 7
    assert guarded["rules"][0].options["loss"] == 0.2
    assert (guarded["schedule"].use, guarded["schedule"].options["session"]) == ("month_end", 2)
    assert (guarded["filters"][1].use, guarded["filters"][1].options["slices"]) == ("age", 9)
    bare = load_run(plain_run(strategy="sign"), ["strategy.schedule=always"])
    assert bare.strategies[0].options["schedule"].use == "always"


def test_problems_are_told_at_their_places_as_if_strategy_and_guards_were_one() -> None:
    wrong = {
        "use": "topk_dropout",
        "topk": 0,
        "n_drop": 1,
        "rules": [{"use": "stop_loss", "loss": -1}],
        "schedule": "noon",
    }
    found = problems(plain_run(strategy=wrong))
    assert sorted(found) == [
        ("E108", "strategy.rules[0].loss"),
        ("E108", "strategy.topk"),
        ("E109", "strategy.schedule.use"),
    ]


def test_an_option_of_ones_own_may_not_have_the_name_of_a_guard() -> None:
    assert problems(plain_run(strategy="tests.samewire.own:Rota")) == [("E110", "strategy")]


def test_what_is_no_guard_is_told() -> None:
    (found,) = problems(plain_run(strategy={"use": "sign", "rules": ["tests.samewire.own:Equal"]}))
    assert found == ("E110", "strategy.rules[0].use")


def test_interval_and_interval_ns_contradict_each_other_as_without_guards() -> None:
    wrong = {"use": "sign", "interval": "1d", "interval_ns": 5, "filters": ["tradable"]}
    assert ("E113", "strategy.interval") in problems(plain_run(strategy=wrong))


def test_a_strategy_that_reads_no_model_is_warned_of_behind_guards_too() -> None:
    made = load_run(plain_run(strategy={"use": "sign", "signal": "nobody", "filters": ["tradable"]}))
    assert any("no model is called 'nobody'" in str(caution) for caution in cautions(made))


@pytest.mark.parametrize(
    ("optimizer", "schedule", "warned"),
    [("mean_variance", "weekly", True), ("mean_variance", "always", False), ("direct", "weekly", False)],
)
def test_a_schedule_before_an_optimizer_that_trades_anyway_is_warned_of(
    optimizer: str, schedule: str, warned: bool
) -> None:
    solves = {"use": "mean_variance", "risk_model": "ledoit_wolf"} if optimizer == "mean_variance" else "direct"
    made = load_run(plain_run(strategy={"use": "sign", "schedule": schedule}, optimizer=solves))
    assert any(caution.path == "strategy.schedule" for caution in cautions(made)) is warned


def test_the_json_schema_knows_guards_beside_every_strategy() -> None:
    schema = json_schema()
    kinds = {each["title"]: each for each in schema["$defs"]["strategies"]["anyOf"] if "title" in each}
    for name in ("sign", "topk_dropout"):
        assert {"filters", "rules", "schedule"} <= set(kinds[name]["properties"])
        assert not {"filters", "rules", "schedule"} & set(kinds[name]["required"])
    assert "strategy" in kinds["guarded"]["required"]
    titles = {each.get("title") for each in schema["$defs"]["rules"]["anyOf"]}
    assert {"stop_loss", "cool_down", "volatility_target"} <= titles


def test_check_says_what_stands_around_a_strategy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SAMPLE))
    assert main(["check", str(path)]) == 0
    assert "topk_dropout (price, tradable, sector, stop_loss, cool_down, weekly)" in capsys.readouterr().out


# ---- running ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guards") / "run"
    run(SAMPLE, out=folder)
    return folder


def events(folder: Path, kind: type[Any]) -> list[Any]:
    return [entry.event for entry in open_recorded(folder).entries() if isinstance(entry.event, kind)]


def stops(folder: Path) -> list[tuple[int, int]]:
    """(ts, symbol) of every position that the stop closed."""
    notes = [note for note in events(folder, Note) if note.kind == "rule:stop_loss"]
    return [(note.ts, int(s)) for note in notes for s in note.symbol]


def test_a_session_buys_on_its_day_and_what_passes_and_sells_by_its_stop(ran: Path) -> None:
    symbols = open_recorded(ran).universe.symbols
    bought = [(e.ts, int(s)) for e in events(ran, Orders) for s, q in zip(e.symbol, e.qty, strict=True) if q > 0]
    begun = bought[0][0]
    dates = [np.datetime64(ts, "ns").astype("datetime64[D]").astype(int) for ts, _ in bought if ts != begun]
    assert {(each + 3) % 7 for each in dates} == {2}  # Wednesdays
    assert not any(symbols[s].startswith("EN") for _, s in bought)
    close = {bars.ts: bars.close for bars in events(ran, Bars)}
    assert all(close[ts][s] >= 20 for ts, s in bought)
    found = stops(ran)
    assert len(found) > 5
    sold = {(e.ts, int(s)) for e in events(ran, Orders) for s, q in zip(e.symbol, e.qty, strict=True) if q < 0}
    assert set(found) <= sold
    slices = list(close)
    for ts, s in found:
        at = slices.index(ts)
        assert not any((later, s) in bought for later in slices[at : at + 5])


def test_the_stop_closes_exactly_what_plain_arithmetic_on_the_books_says(ran: Path) -> None:
    """Slice by slice, in loops: a position 4 % below its entry is stopped there, once, and wanted at 0 from then on."""
    leaving: set[int] = set()
    told: list[tuple[int, int]] = []
    expected: list[tuple[int, int]] = []
    bars, book = None, None
    for entry in open_recorded(ran).entries():
        event = entry.event
        if isinstance(event, Bars):
            bars, book = event, None
        elif isinstance(event, Book) and book is None and bars is not None and event.ts == bars.ts:
            book = event
            leaving = {s for s in leaving if event.qty[s] != 0}
            for s in range(len(event.qty)):
                if event.qty[s] > 0 and s not in leaving and event.mark[s] <= event.entry[s] * 0.96:
                    expected.append((event.ts, s))
                    leaving.add(s)
        elif isinstance(event, Target):
            assert all(event.value[s] == 0 for s in leaving)
        elif isinstance(event, Note) and event.kind == "rule:stop_loss":
            told += [(event.ts, int(s)) for s in event.symbol]
    assert told == expected
    assert len(told) > 5


def test_notes_come_behind_their_target_and_before_the_orders(ran: Path) -> None:
    ts, _ = stops(ran)[0]
    said = [(e.kind, e.origin) for e in open_recorded(ran).entries() if e.event is not None and e.event.ts == ts]
    kinds = [kind for kind, _ in said]
    at = kinds.index("Target")
    assert said[at + 1][0] == "Note"
    assert said[at + 1][1] == "strategy"
    assert kinds.index("Orders") > at + 1


def test_rule_46_what_works_toward_a_name_that_no_longer_passes_is_cancelled(tmp_path: Path) -> None:
    strategy = wish(0.2, 0.2, 0.0, 0.0, 0.0, limits=[5.0, 0.0, 0.0, 0.0, 0.0]) | {"filters": ["members"]}
    gtc = {"use": "direct", "time_in_force": "gtc"}
    run(config(strategy=strategy, optimizer=gtc, feed=feed(outside=["S0@4"])), out=tmp_path / "run")
    legs = [
        (e.ts, int(a), int(s))
        for e in events(tmp_path / "run", Orders)
        for a, s in zip(e.action, e.symbol, strict=True)
        if s == 0
    ]
    assert legs == [(day(0), LegAction.NEW, 0), (day(4), LegAction.CANCEL, 0), (day(5), LegAction.NEW, 0)]


def test_trading_days_are_handed_to_a_schedule(tmp_path: Path) -> None:
    """The last session of June 2018 was Friday the 29th, the week of the 4th of July has no holiday on its Friday."""
    dates = [f"2018-06-{d}" for d in (26, 27, 28, 29)] + [f"2018-07-{d:02}" for d in (2, 3, 5, 6, 9, 10)]
    rows = [
        (dt.date.fromisoformat(date), symbol, 10.0, 12.0, 9.0, 10.0 + 0.1 * ((k * (s + 3)) % 7), 1e6)
        for k, date in enumerate(dates)
        for s, symbol in enumerate(("AAA", "BBB", "CCC"))
    ]
    bars = {"use": "parquet", "path": str(parquet(tmp_path / "bars.parquet", rows)), "calendar": "XNYS"}
    asked: dict[str, list[str]] = {}
    for schedule in ({"use": "month_end"}, {"use": "weekly", "weekday": "wed"}):
        folder = tmp_path / str(schedule["use"])
        run(
            plain_run(
                feed=bars, models=[{"use": "momentum", "window": 1}], strategy={"use": "sign", "schedule": schedule}
            ),
            out=folder,
        )
        found = [str(np.datetime64(target.ts, "ns"))[:10] for target in events(folder, Target)]
        asked[str(schedule["use"])] = found
    assert asked["month_end"][1:] == ["2018-06-29"]
    assert asked["weekly"][1:] == ["2018-07-03"]  # the 4th was a holiday


def test_it_is_decided_the_same_again(ran: Path) -> None:
    assert main(["verify", str(ran)]) == 0


def test_nothing_of_it_knows_the_future(ran: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(SAMPLE | {"session": SAMPLE["session"] | {"end": "2018-03-29"}}))
    assert main(["lookahead", str(path), "--cuts", "2"]) == 0


def test_why_names_the_rule_that_sold(ran: Path) -> None:
    of = open_recorded(ran)
    ts, symbol = stops(ran)[0]
    order = next(
        id_text(int(i))
        for e in events(ran, Orders)
        if e.ts == ts
        for i, s, q in zip(e.ids, e.symbol, e.qty, strict=True)
        if s == symbol and q < 0
    )
    doc = explain_order(of, order)
    assert [(each["what"], each["kind"], each["since"]) for each in doc["guards"]] == [("rule", "stop_loss", ts)]
    assert doc["guards"][0]["value"] <= -0.04
    assert "guard     the rule stop_loss of strategy closes it" in order_text(doc)
    json.dumps(doc["guards"])


def test_why_not_names_the_rule_and_the_filter_that_kept_it_out(ran: Path) -> None:
    of = open_recorded(ran)
    slices = [bars.ts for bars in events(ran, Bars)]
    ts, symbol = stops(ran)[0]
    after = slices[slices.index(ts) + 2]
    doc = explain_missing(of, of.universe.symbols[symbol], str(after))
    assert (doc["reasons"][0]["stage"], doc["guards"][0]["kind"]) == ("guard", "cool_down")
    energy = next(name for name in of.universe.symbols if name.startswith("EN"))
    doc = explain_missing(of, energy, str(slices[30]))
    assert "it does not pass the filter sector of strategy" in missing_text(doc)


def test_a_stop_that_cannot_be_sold_is_told_until_it_is(tmp_path: Path) -> None:
    """Crashed at slice 3 and halted for two: each order of it is explained by the stop that was hit once."""
    strategy = {
        "use": "tests.samewire.scripted:Wish",
        "weights": [0.2, 0.2, 0.2, 0.0, 0.0],
        "rules": [{"use": "stop_loss", "loss": 0.1}],
    }
    halted = [f"S0@{k}" for k in (4, 5)]
    run(config(strategy=strategy, feed=feed(slices=10, crash_at=3, halted=halted)), out=tmp_path / "run")
    of = open_recorded(tmp_path / "run")
    closing = [note for note in events(tmp_path / "run", Note) if note.kind == "rule:stop_loss"]
    assert [(note.ts, note.symbol.tolist()) for note in closing][0] == (day(3), [0, 1, 2])
    for k in (4, 5):
        doc = explain_missing(of, "S0", str(day(k)))
        assert ("rule", "stop_loss") in [(each["what"], each["kind"]) for each in doc["guards"]]
    fills = [(e.ts, s) for e in events(tmp_path / "run", Fills) for s, q in zip(e.symbol, e.qty, strict=True) if q < 0]
    assert [ts for ts, s in fills if s == 0] == [day(7)]  # decided in the first slice that has a bar again
    order = next(id_text(int(i)) for e in events(tmp_path / "run", Orders) if e.ts == day(6) for i in e.ids)
    assert [each["since"] for each in explain_order(of, order)["guards"]] == [day(3)]


async def test_every_snapshot_of_a_session_decides_what_follows() -> None:
    """The wiring is saved and loaded into a fresh one between two slices, many times over."""
    made = load_run(SAMPLE | {"session": SAMPLE["session"] | {"end": "2018-03-29"}})

    async def targets(every: int) -> list[Any]:
        prepared = prepare(made)
        wiring, found = prepared.session.wiring, []
        low, high = days(prepared.feed, made.session.start, made.session.end)
        for k, event in enumerate(prepared.feed.events(low, high)):
            if every and k and not k % every:
                state, wiring = wiring.save(), prepare(made).session.wiring
                wiring.load(state)
            found += [e for e in await Bus(wiring.routes).feed(event) if isinstance(e, Target | Note)]
        return found

    straight, broken = await targets(0), await targets(7)
    assert len(straight) == len(broken) > 20
    for one, two in zip(straight, broken, strict=True):
        assert type(one) is type(two)
        np.testing.assert_array_equal(one.value, two.value)


def test_a_filter_of_ones_own_is_held_to_its_shape(tmp_path: Path) -> None:
    strategy = {"use": "sign", "filters": ["tests.samewire.own:OnlyFirst"]}
    result = run(plain_run(strategy=strategy))
    held = result.to_pandas("fills")
    assert set(held["symbol"]) == {"S0"}
    made = load_run(plain_run(strategy=strategy))
    assert isinstance(prepare(made).session.wiring.parts.strategies[0].component._inner, Sign)
