"""Components inside components: lists of them, feeds of feeds, and what is handed in."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.costs.together import Together
from engine.calendar import Sessions
from engine.errors import ConfigError
from engine.events import DAY_NS, Book, Charges, Event
from engine.protocols import CostModel, Feed, Financing, Issue
from engine.universe import Universe, universe_of
from samewire.build import Given, construct, parts_of
from samewire.json_schema import json_schema
from samewire.prepare import prepare
from samewire.schema import Component, RunFileErrors, config_hash, dump_run, load_run, resolved
from samewire.signatures import schema_of
from tests.samewire.own import Walk

HERE = "tests.samewire.test_slots"


class Costly:
    """A broker with a cost model and what holding costs."""

    def __init__(
        self,
        *,
        costs: CostModel,
        financing: tuple[Financing, ...] = (),
        sessions: Sessions | None = None,
    ) -> None:
        self.costs, self.financing, self.sessions = costs, financing, sessions

    def on_orders(self, orders: Any, /) -> None:
        return None

    def on_bars(self, bars: Any, /) -> tuple[Any, ...]:
        return ()


class Fee:
    """A charge."""

    def __init__(self, *, annual_bps: float, table: Path | None = None) -> None:
        if annual_bps < 0:
            raise ValueError(f"annual_bps must be at least 0, got {annual_bps}")
        self.annual_bps, self.table = annual_bps, table

    def charges(self, book: Book, days: int, ts: int, /) -> Charges | None:
        return None


class Halved:
    """A cost model around another."""

    def __init__(self, *, of: CostModel, universe: Universe | None = None) -> None:
        self.of, self.universe = of, universe

    def price(self, qty: Any, reference: Any, at: Any, /) -> Any:
        return self.of.price(qty, reference, at)

    def fees(self, qty: Any, price: Any, at: Any, /) -> Any:
        return self.of.fees(qty, price, at) / 2

    def rate(self) -> float:
        return self.of.rate() / 2


class Around:
    """A feed of a feed."""

    def __init__(self, *, of: Feed, by: int = 2) -> None:
        self.of, self.by = of, by
        self.universe, self.interval_ns, self.sectors, self.span = universe_of(("A",)), DAY_NS, (), None

    def events(self, start: int | None = None, end: int | None = None) -> Iterator[Event]:
        yield from self.of.events(start, end)

    def issues(self) -> tuple[Issue, ...]:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


class Scheduled:
    """A strategy that cannot do without trading days."""

    interval_ns = 0

    def __init__(self, *, sessions: Sessions) -> None:
        self.sessions = sessions

    def on_signals(self, signals: Any, book: Any, /) -> None:
        return None


def run_of(broker: dict[str, Any], **changes: Any) -> dict[str, Any]:
    run: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "quick", "cash": 1e6},
        "feed": "tests.samewire.own:Walk",
        "models": [{"use": "momentum", "window": 5}],
        "strategy": {"use": "tests.samewire.own:Equal"},
        "optimizer": "direct",
        "broker": {"use": f"{HERE}:Costly"} | broker,
    }
    return run | changes


TEXT = f"""\
schema: 1
session: {{name: quick, cash: 1_000_000}}
feed: {{use: "tests.samewire.own:Walk"}}
models: [momentum]
strategy: {{use: "tests.samewire.own:Equal"}}
optimizer: direct
broker:
  use: {HERE}:Costly
  costs:
    - {{use: per_share, rate: 0.005, minimum: 1}}
    - volume_share
    - {{slippage_bps: 3}}
  financing:
    - {{use: "{HERE}:Fee", annual_bps: 50, table: rates.csv}}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(TEXT)
    return path


def costs_of(run: Any) -> Any:
    return run.broker.options["costs"]


def names(run: Any) -> list[str]:
    return [part.use for part in costs_of(run).options["parts"]]


# ---- reading ---------------------------------------------------------------------------------------------------------


def test_a_list_of_costs_is_their_sum(written: Path) -> None:
    run = load_run(written)
    assert (costs_of(run).group, costs_of(run).use) == ("costs", "together")
    assert names(run) == ["per_share", "volume_share", "bps"]
    assert costs_of(run).options["parts"][0].options["rate"] == 0.005


def test_a_list_of_components_is_a_tuple_and_one_alone_a_list_of_one(written: Path) -> None:
    (fee,) = load_run(written).broker.options["financing"]
    assert fee.options["table"] == written.parent / "rates.csv"
    alone = load_run(run_of({"costs": "bps", "financing": {"use": f"{HERE}:Fee", "annual_bps": 5}}))
    assert [part.options["annual_bps"] for part in alone.broker.options["financing"]] == [5.0]
    assert load_run(run_of({"costs": "bps", "financing": []})).broker.options["financing"] == ()
    assert load_run(run_of({"costs": "bps"})).broker.options["financing"] == ()


def test_the_name_of_the_sum_may_be_written_out() -> None:
    parts = [{"use": "per_share", "rate": 0.005}, "bps"]
    assert load_run(run_of({"costs": parts})) == load_run(run_of({"costs": {"use": "together", "parts": parts}}))


def test_a_cost_model_may_hold_another_and_a_feed_another() -> None:
    run = load_run(run_of({"costs": {"use": f"{HERE}:Halved", "of": {"commission_bps": 4}}}))
    assert costs_of(run).options["of"].use == "bps"
    feed = load_run(run_of({"costs": "bps"}, feed={"use": f"{HERE}:Around", "of": "tests.samewire.own:Walk"})).feed
    assert isinstance(feed.options["of"], Component)
    built = construct(feed, Given(session="s", seed=0))
    assert isinstance(built.of, Walk)


# ---- problems --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "code", "path", "caret", "said"),
    [
        ("rate: 0.005", "rat: 0.005", "E104", "broker.costs[0].rat", "rat", 'did you mean "rate"?'),
        ("rate: 0.005, ", "", "E105", "broker.costs[0].rate", "{", "a number"),
        ("rate: 0.005", "rate: cheap", "E107", "broker.costs[0].rate", "cheap", "a number"),
        ("rate: 0.005", "rate: -1", "E108", "broker.costs[0].rate", "-1", "rate must be finite and at least 0"),
        (
            "- volume_share",
            "- volume_shar",
            "E109",
            "broker.costs[1].use",
            "volume_shar",
            'did you mean "volume_share"?',
        ),
        ("- volume_share", "- [bps]", "E107", "broker.costs[1]", "[", "a mapping with `use:`"),
        ("- volume_share", "-", "E106", "broker.costs[1]", "", "a mapping with `use:`"),
        ("annual_bps: 50", "annual_bps: -5", "E108", "broker.financing[0].annual_bps", "-5", "annual_bps must be"),
        ("annual_bps: 50", "bps: 50", "E104", "broker.financing[0].bps", "bps", "one of: annual_bps, table"),
    ],
)
def test_a_mistake_in_a_list_is_told_with_its_item_and_its_place(
    old: str, new: str, code: str, path: str, caret: str, said: str, written: Path
) -> None:
    written.write_text(TEXT.replace(old, new))
    with pytest.raises(RunFileErrors) as caught:
        load_run(written)
    found = [problem for problem in caught.value.problems if problem.path == path]
    assert [problem.code for problem in found] == [code]
    line = written.read_text().splitlines()[found[0].where.line - 1]
    assert line[found[0].where.column - 1 :].startswith(caret)
    assert said in str(caught.value)


def test_an_empty_list_of_costs_is_none() -> None:
    with pytest.raises(RunFileErrors, match="at least one component"):
        load_run(run_of({"costs": []}))


def test_a_list_where_one_component_belongs_is_refused() -> None:
    optimizer = {"use": "mean_variance", "risk_model": ["ledoit_wolf"]}
    with pytest.raises(RunFileErrors) as caught:
        load_run(run_of({"costs": "bps"}, optimizer=optimizer))
    assert [(p.code, p.path) for p in caught.value.problems] == [("E107", "optimizer.risk_model")]


# ---- overrides, and back ---------------------------------------------------------------------------------------------


def test_set_reaches_into_a_list(written: Path) -> None:
    changes = ["broker.costs[0].rate=1", "broker.costs[1].impact=0.2", "broker.financing[0].annual_bps=7"]
    run = load_run(written, changes)
    parts = costs_of(run).options["parts"]
    assert (parts[0].options["rate"], parts[1].options["impact"]) == (1.0, 0.2)
    assert run.broker.options["financing"][0].options["annual_bps"] == 7.0
    with pytest.raises(RunFileErrors, match="an index from 0 to 2"):
        load_run(written, ["broker.costs[3].rate=1"])


def test_set_knows_a_single_one_as_the_first() -> None:
    for single in ("bps", {"use": "bps"}):
        run = load_run(run_of({"costs": single}), ["broker.costs[0].commission_bps=4"])
        assert names(run) == ["bps"]
        assert costs_of(run).options["parts"][0].options["commission_bps"] == 4.0


def test_a_list_is_written_back_as_a_list_and_hashed(written: Path, tmp_path: Path) -> None:
    run = load_run(written)
    said = resolved(run)["broker"]
    assert [part["use"] for part in said["costs"]] == ["per_share", "volume_share", "bps"]
    assert said["financing"][0]["table"] == "rates.csv"
    (tmp_path / "again.yaml").write_text(dump_run(run))
    assert load_run(tmp_path / "again.yaml") == run
    hashes = {config_hash(run), config_hash(load_run(written, ["broker.costs[0].rate=1"]))}
    hashes.add(config_hash(load_run(written, ["broker.costs=[volume_share]"])))
    assert len(hashes) == 3


def test_the_json_schema_knows_lists() -> None:
    broker = json_schema()["$defs"]["brokers"]["anyOf"]
    costs = next(choice for choice in broker if choice.get("title") == "simulated")["properties"]["costs"]
    (listed,) = [choice for choice in costs["anyOf"] if choice.get("type") == "array"]
    assert {"$ref": "#/$defs/costs"} in listed["items"]["anyOf"]


# ---- built -----------------------------------------------------------------------------------------------------------


def sessions() -> Sessions:
    days = np.array([0, DAY_NS])
    none = np.zeros(2, np.int64)
    return Sessions(name="X", label=days, opens=days + 1, closes=days + 2, break_from=none, break_to=none)


def test_one_cost_model_prices_the_fills_and_sizes_the_orders(written: Path) -> None:
    given = Given(session="s", seed=0)
    parts = parts_of(load_run(written), Walk(), given)
    broker: Any = parts.broker.component
    assert isinstance(broker.costs, Together)
    assert parts.optimizer.component._sizing.costs is broker.costs  # type: ignore[attr-defined]
    assert [fee.annual_bps for fee in broker.financing] == [50.0]
    assert broker.sessions is None


def test_the_trading_days_of_the_feed_are_handed_in(written: Path) -> None:
    feed: Any = Walk()
    feed.sessions = sessions()
    broker: Any = parts_of(load_run(written), feed, Given(session="s", seed=0)).broker.component
    assert broker.sessions is feed.sessions
    assert "sessions" not in schema_of(Costly, "brokers").keys


def test_without_a_calendar_what_needs_one_is_told_how_to_name_it() -> None:
    run = load_run(run_of({"costs": "bps"}, strategy=f"{HERE}:Scheduled"))
    with pytest.raises(ConfigError, match=r"names none; set feed\.calendar, e\.g\. calendar: XNYS"):
        parts_of(run, Walk(), Given(session="s", seed=0))


def test_cost_models_are_handed_the_universe() -> None:
    run = load_run(run_of({"costs": [{"use": "square_root"}, {"use": f"{HERE}:Halved", "of": "bps"}]}))
    broker: Any = parts_of(run, Walk(symbols=3), Given(session="s", seed=0)).broker.component
    assert len(broker.costs._parts[1]._part.inner.universe) == 3


class Priceless:
    """A broker that has no cost model."""

    def __init__(self, *, name: str) -> None:
        self.name = name

    def on_orders(self, orders: Any, /) -> None:
        return None

    def on_bars(self, bars: Any, /) -> tuple[Any, ...]:
        return ()


@pytest.mark.parametrize("optimizer", ["direct", {"use": "mean_variance", "risk_model": {"use": "ledoit_wolf"}}])
def test_an_optimizer_that_asks_what_trades_cost_needs_a_broker_that_knows(optimizer: Any) -> None:
    """It was an AttributeError of the optimizer at the first slice."""
    with pytest.raises(RunFileErrors, match="broker.costs") as raised:
        load_run(run_of({"use": f"{HERE}:Priceless"}, optimizer=optimizer))
    (problem,) = raised.value.problems
    assert problem.code == "E113"
    assert problem.got == "a broker without a cost model, which optimizer needs for costs"
    assert "`costs: CostModel`" in problem.expected


def test_a_run_that_was_put_together_elsewhere_is_told_the_same() -> None:
    run = load_run(run_of({"costs": "bps"}))
    run = replace(run, broker=replace(run.broker, options={"costs": None}))
    with pytest.raises(
        ConfigError, match=r"optimizers 'direct': needs the broker's cost model for costs, and the broker"
    ):
        prepare(run)
