"""What knows the future is found by name, by whatever way it knows it; what does not is not accused."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.files.sample import SampleFeed
from engine.events import Bars
from samewire.lookahead import Verdict, look_ahead
from samewire.schema import load_run

ROOT = Path(__file__).parent.parent.parent
OWN = "tests.samewire.peeking:"
FEED = {"use": "sample", "symbols": 8, "years": 1}


@pytest.fixture(scope="module")
def closes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every close of the market, tomorrow's too, as a table of a user's own."""
    feed = SampleFeed(symbols=8, years=1)
    lines = ["date,symbol,close"]
    for event in feed.events():
        if isinstance(event, Bars):
            day = dt.datetime.fromtimestamp(event.ts / 1e9, dt.UTC).date()
            rows = zip(feed.universe.symbols, event.close.tolist(), strict=True)
            lines += [f"{day},{symbol},{close:.4f}" for symbol, close in rows if not np.isnan(close)]
    path = tmp_path_factory.mktemp("peek") / "closes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def a_run(**parts: Any) -> dict[str, Any]:
    """A small run file; parts replace its sections."""
    plain = {
        "schema": 1,
        "session": {"name": "peek", "cash": 1_000_000, "start": "2018-04-02"},
        "feed": FEED,
        "models": [{"name": "trend", "use": "momentum", "window": 5}],
        "strategy": {"use": "topk_dropout", "topk": 3, "n_drop": 1},
        "optimizer": "direct",
        "risk": {"max_weight": 0.6},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
    }
    return plain | parts


async def verdict(run: dict[str, Any], **options: Any) -> Verdict:
    return await look_ahead(load_run(run), **({"cuts": 2} | options))


def model(kind: str, **options: Any) -> dict[str, Any]:
    return {
        "models": [
            {"name": "mine", "use": OWN + kind, **{k: str(v) if isinstance(v, Path) else v for k, v in options.items()}}
        ]
    }


async def test_an_honest_run_is_found_honest() -> None:
    said = await verdict(a_run())
    assert said.findings == ()
    assert (len(said.cuts), said.events > 1000) == (2, True)
    assert [channel.place for channel in said.channels] == ["feed"]


async def test_a_model_that_reads_tomorrow_from_its_table_is_named(closes: Path) -> None:
    (found,) = (await verdict(a_run(**model("FromTable", table=closes)))).findings
    assert (found.component, found.event, found.field) == ("mine", "Signal", "value")
    assert found.symbol in SampleFeed(symbols=8, years=1).universe.symbols
    assert float(found.was) != float(found.now)
    assert found.through is not None
    assert (found.through.place, found.through.kind) == ("models[0].table", "table")
    assert found.ts == found.cut.ts  # one day ahead: nothing before the slice of the cut moved
    assert found.repeatable


async def test_a_model_that_reads_today_from_its_table_is_not_accused(closes: Path) -> None:
    for behind in (0, -1):
        assert not (await verdict(a_run(**model("FromTable", table=closes, ahead=behind)))).findings


async def test_a_model_that_opens_the_file_of_its_table_once_more_is_named(closes: Path) -> None:
    (found,) = (await verdict(a_run(**model("FromTableFile", table=closes)))).findings
    assert found.through is not None
    assert (found.component, found.through.place) == ("mine", "models[0].table")


async def test_a_model_that_reads_tomorrow_from_a_file_is_named(closes: Path) -> None:
    (found,) = (await verdict(a_run(**model("FromFile", path=closes)))).findings
    assert (found.component, found.event) == ("mine", "Signal")
    assert found.through is not None
    assert (found.through.place, found.through.kind) == ("models[0].path", "file")
    assert not (await verdict(a_run(**model("FromFile", path=closes, ahead=0)))).findings


@pytest.fixture
def bar_file(closes: Path, tmp_path: Path) -> Path:
    """The market as a file of bars."""
    lines = closes.read_text().splitlines()[1:]
    rows = [f"{day},{symbol},{c},{c},{c},{c},1000" for day, symbol, c in (line.split(",") for line in lines)]
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(["date,symbol,open,high,low,close,volume", *rows]) + "\n")
    return path


async def test_the_file_of_the_feed_is_no_way_round(bar_file: Path) -> None:
    """A model that is given the very file its session is fed from reads another future in it as well."""
    feed = {"use": "csv", "path": str(bar_file), "close": "16:00 America/New_York"}
    (found,) = (await verdict(a_run(feed=feed, **model("FromFile", path=bar_file)))).findings
    assert found.through is not None
    assert (found.component, found.through.place) == ("mine", "models[0].path")


async def test_a_model_that_is_handed_a_feed_is_named() -> None:
    (found,) = (await verdict(a_run(**model("FromFeed", history=FEED)))).findings
    assert found.component == "mine"
    assert found.through is not None
    assert found.through.place == "models[0].history"


@pytest.mark.parametrize("by", ["member", "status"])
@pytest.mark.parametrize("seed", range(10))
async def test_one_flag_of_the_last_slice_is_enough_whatever_the_seed(by: str, seed: int) -> None:
    """Survivorship: it looks at an instant that is later than every cut."""
    run = a_run(**model("Survivors", history=FEED, by=by))
    (found,) = (await look_ahead(load_run(run), seed=seed, slices=40)).findings
    assert (found.component, found.event, found.cut.gone, found.repeatable) == ("mine", "Signal", False, True), found


async def test_behind_a_slice_stands_nothing_of_the_future() -> None:
    said = await verdict(a_run(**model("BehindTheSlice")))
    assert said.findings == ()
    assert said.events > 100


@pytest.mark.parametrize("expanding", [False, True])
async def test_features_normalised_with_the_whole_range_are_named(expanding: bool, closes: Path) -> None:
    run = a_run(
        features=[{"name": "scaled", "use": OWN + "WholeRange", "table": str(closes), "expanding": expanding}],
        models=[{"name": "mine", "use": OWN + "Column", "features": "scaled"}],
    )
    found = (await verdict(run)).findings
    said = [(each.component, each.event, each.field) for each in found]
    assert said == ([] if expanding else [("scaled", "Features", "score")])


@pytest.mark.parametrize("leaks", [False, True])
async def test_training_beyond_until_is_named(leaks: bool, closes: Path) -> None:
    mine = {"name": "mine", "use": OWN + "Learner", "features": "rolling", "train": {"until": "2018-06-29"}}
    run = a_run(
        features=[{"use": "rolling", "windows": [5]}],
        models=[mine | ({"own": str(closes)} if leaks else {})],
    )
    said = await verdict(run, cuts=3)
    assert [(each.component, each.event, each.field) for each in said.findings] == (
        [("mine", "artefact", "mean.json")] if leaks else []
    )
    assert list(said.ends) == ["mine"]
    if leaks:
        assert said.findings[0].through is not None
        assert said.findings[0].through.place == "models[0].own"


async def test_a_model_that_learned_from_the_session_itself_is_named(tmp_path: Path) -> None:
    from components.models.artefact import artefact_of, write_artefact

    late = np.datetime64("2018-08-01", "ns").astype(np.int64).item()
    for name, card in (("late", {"until_ns": late}), ("silent", {}), ("early", {"until_ns": late // 2})):
        files = {"mean.json": b'{"mean": 1.0}', "model.json": json.dumps(card).encode()}
        write_artefact(artefact_of(files), tmp_path / name)
    features = [{"use": "rolling", "windows": [5]}]
    models = [
        {"name": name, "use": OWN + "Learner", "features": "rolling", "artefact": str(tmp_path / name)}
        for name in ("late", "silent", "early")
    ]
    strategy = {"use": "sign", "signal": "late"}
    said = await verdict(a_run(features=features, models=models, strategy=strategy))
    assert [(each.component, each.field) for each in said.findings] == [("late", "until_ns of model.json")]
    assert said.undated == ("silent",)


async def test_a_peeking_strategy_is_named(closes: Path) -> None:
    strategy = {"name": "oracle", "use": OWN + "PeekingStrategy", "table": str(closes)}
    (found,) = (await verdict(a_run(strategy=strategy))).findings
    assert (found.component, found.event, found.field) == ("oracle", "Target", "value")
    assert found.through is not None
    assert found.through.place == "strategy.table"


async def test_a_peeking_risk_model_is_named_by_its_place_in_the_optimizer(closes: Path) -> None:
    optimizer = {"use": "mean_variance", "risk_model": {"use": OWN + "PeekingRisk", "path": str(closes)}}
    (found,) = (await verdict(a_run(optimizer=optimizer | {"max_weight": 0.5}))).findings
    assert found.component == "optimizer"
    assert found.through is not None
    assert found.through.place == "optimizer.risk_model.path"


async def test_a_peeking_cost_model_is_named_by_its_place_in_the_broker(closes: Path) -> None:
    costs = [{"use": "bps"}, {"use": OWN + "PeekingCost", "table": str(closes)}]
    (found,) = (await verdict(a_run(broker={"use": "simulated", "fill": "next_open", "costs": costs}))).findings
    assert (found.component, found.event, found.field) == ("broker", "Fills", "price")
    assert found.through is not None
    assert found.through.place == "broker.costs.parts[1].table"


async def test_a_peeking_gate_is_named(closes: Path) -> None:
    (found,) = (await verdict(a_run(risk={"use": OWN + "PeekingGate", "table": str(closes)}))).findings
    assert (found.component, found.event) == ("risk", "Approved")
    assert found.through is not None
    assert found.through.place == "risk.table"


async def test_a_component_that_cannot_do_without_the_future_is_named(closes: Path) -> None:
    run = a_run(**model("NeedsTheEnd", table=closes, until="2018-12-20"))
    (found,) = (await verdict(run)).findings
    assert (found.component, found.event, found.cut.gone) == ("mine", "", True)
    assert "the table ends on" in found.error


async def test_chance_is_told_from_look_ahead() -> None:
    (found,) = (await verdict(a_run(**model("Dice")))).findings
    assert (found.component, found.repeatable, found.through) == ("mine", False, None)


async def test_of_two_that_peek_the_first_is_named_and_by_its_own_table(closes: Path) -> None:
    models = [
        {"name": "one", "use": OWN + "FromTable", "table": str(closes), "ahead": 3},
        {"name": "two", "use": "momentum"},
    ]
    strategy = {"name": "oracle", "use": OWN + "PeekingStrategy", "table": str(closes)}
    (found,) = (await verdict(a_run(models=models, strategy=strategy))).findings
    assert found.component == "one"
    assert found.through is not None
    assert found.through.place == "models[0].table"


async def test_a_file_in_which_nothing_tells_the_time_is_said_to_be_left_alone(tmp_path: Path) -> None:
    (tmp_path / "weights.csv").write_text("symbol,close\nCO01,1.0\n")
    (tmp_path / "later.csv").write_text("date,symbol,close\n2018-04-03,CO01,1.0\n")
    paths = [str(tmp_path / "weights.csv"), str(tmp_path / "later.csv")]
    said = await verdict(a_run(**model("ManyFiles", paths=paths)))
    covered = {Path(channel.text).name: channel.covered for channel in said.channels if channel.kind == "file"}
    assert covered == {"weights.csv": False, "later.csv": True}


async def test_longer_bars_are_made_of_the_other_future_and_are_no_finding() -> None:
    run = a_run(feed={"use": "aggregate", "of": FEED, "to": ["1w"]})
    run["models"] = [{"name": "trend", "use": "momentum", "window": 3, "interval": "1w"}]
    said = await verdict(run, cuts=6)
    assert said.findings == ()
    assert [channel.place for channel in said.channels] == ["feed.of"]


# ---- every shipped run file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["agent", "ema_cross", "execution", "live", "market", "scores", pytest.param("demo", marks=pytest.mark.slow)],
)
async def test_shipped_run_files_know_nothing_of_the_future(name: str) -> None:
    said = await look_ahead(load_run(ROOT / "configs" / f"{name}.yaml"), cuts=2, slices=200)
    assert said.findings == ()
    assert said.events > 1000


def test_every_shipped_run_file_is_looked_at() -> None:
    # Some need a file that is not shipped; `test_lookahead.py` runs them on a generated one.
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} == {
        "agent",
        "ema_cross",
        "execution",
        "live",
        "market",
        "scores",
        "demo",
        "sp500",
        "sp500_lightgbm",
        "sp500_alstm",
        "us_pit_lightgbm",
        "cost_aware",
    }
