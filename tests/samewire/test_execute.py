"""Runs from end to end: the same digest each time, a directory whole or none, from scripts, notebooks and taps."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.files.journal_file import read_journal
from engine.errors import ComponentError, ConfigError, DataError, StateError
from engine.events import Bars, Book, Signal
from samewire import Result, arun, open_session, run
from samewire.recorded import open_recorded
from samewire.schema import load_run
from samewire.verifying import verify


def small(**changed: Any) -> dict[str, Any]:
    """Twenty names over a bit more than a year: half a second."""
    whole: dict[str, Any] = {
        "schema": 1,
        "session": {"name": "small", "start": "2019-06-03", "end": "2020-03-31", "cash": 1_000_000, "seed": 7},
        "feed": {"use": "sample", "symbols": 20, "years": 3},
        "models": [{"name": "mom", "use": "momentum", "window": 10}],
        "strategy": {"use": "topk_dropout", "topk": 5, "n_drop": 1},
        "optimizer": {"use": "direct"},
        "risk": {"max_weight": 0.3},
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5, "slippage_bps": 5}},
    }
    return whole | changed


def trained() -> dict[str, Any]:
    return small(
        features=[{"name": "rolling", "use": "rolling"}],
        models=[
            {
                "name": "gbdt",
                "use": "lightgbm",
                "features": "rolling",
                "num_boost_round": 20,
                "train": {"until": "2019-06-28"},
            }
        ],
        optimizer={"use": "mean_variance", "risk_model": {"use": "ledoit_wolf", "window": 40, "min_slices": 20}},
    )


def test_two_runs_have_the_same_digest_and_another_seed_of_the_market_another() -> None:
    first, second = run(small()), run(small())
    assert first.summary["digest"] == second.summary["digest"]
    assert first.summary["fills"] > 50
    other = run(small(), overrides=["feed.seed=8"])
    assert other.summary["digest"] != first.summary["digest"]


def test_the_session_directory_holds_what_the_contract_says(tmp_path: Path) -> None:
    out = tmp_path / "a folder with spaces" / "run"
    result = run(trained(), out=out)
    there = {path.name for path in out.iterdir()}
    tables = {"equity.parquet", "orders.parquet", "fills.parquet", "signals.parquet", "targets.parquet"}
    tables |= {"trades.parquet", "pnl.parquet", "charges.parquet", "actions.parquet"}
    assert there >= {"manifest.json", "run.yaml", "summary.json", "journal", "report.html", "models"} | tables
    summary = json.loads((out / "summary.json").read_text())
    manifest = json.loads((out / "manifest.json").read_text())
    assert summary["digest"] == manifest["digest"] == result.summary["digest"]
    assert not list(tmp_path.rglob(".*"))
    assert result.equity.num_rows == summary["slices"]
    assert result.fills.num_rows == summary["fills"]
    pnl, trades = result.table("pnl"), result.table("trades")
    assert sum(pnl["total"].to_pylist()) == pytest.approx(summary["final_equity"] - summary["initial_equity"], abs=1e-3)
    assert sum(trades["net"].to_pylist()) == pytest.approx(sum(pnl["total"].to_pylist()), abs=1e-3)
    assert trades.num_rows == summary["trades"] + summary["open_positions"]
    assert (out / "models" / "gbdt" / "model.txt").is_file()
    assert manifest["models"]["gbdt"]
    last = result.equity["equity"][-1].as_py()
    assert last == pytest.approx(summary["final_equity"])
    again = run(out / "run.yaml")
    assert again.summary["digest"] == summary["digest"]


def test_the_journal_of_a_session_reads_back_and_its_last_book_is_the_final_equity(tmp_path: Path) -> None:
    result = run(small(), out=tmp_path / "run")
    entries = list(open_recorded(tmp_path / "run").entries())
    kinds = [type(entry.event) for entry in entries if entry.event is not None]
    assert kinds.count(Bars) == result.summary["slices"]
    books = [entry.event for entry in entries if isinstance(entry.event, Book)]
    assert books[-1].equity == result.summary["final_equity"]
    for entry in entries:
        if isinstance(entry.event, Book):
            assert np.isfinite(entry.event.equity)
            assert np.isfinite(entry.event.qty).all()
            assert np.isfinite(entry.event.cash).all()
            assert (entry.event.cash >= 0).all()


def test_an_output_that_is_there_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(small(), out=out)
    before = (out / "manifest.json").read_text()
    with pytest.raises(ConfigError, match="it is there already"):
        run(small(), out=out)
    assert (out / "manifest.json").read_text() == before
    run(small(), out=out, overwrite=True)
    assert (out / "manifest.json").read_text() != before
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="not a session directory, so it is not replaced"):
        run(small(), out=precious, overwrite=True)
    assert (precious / "thesis.txt").read_text() == "years of work"


class Explodes:
    """A strategy that fails in the middle."""

    interval_ns = 0

    def __init__(self, *, after: int) -> None:
        self._left = after

    def on_signals(self, signals: Any, book: Any, /) -> None:
        self._left -= 1
        if not self._left:
            raise LookupError("no such sector")


def broken(**options: Any) -> dict[str, Any]:
    return small(strategy={"use": "tests.samewire.test_execute:Explodes", "name": "mine", "after": 30} | options)


def failed(out: Path, **options: Any) -> str:
    """What a session says that fails in the middle."""
    with pytest.raises(ComponentError) as caught:
        run(broken(), out=out, **options)
    return str(caught.value)


def test_a_failure_in_the_middle_names_the_component_and_keeps_what_was_recorded_beside(tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = failed(out)
    assert re.match(r"mine: failed on Signal of 2019-\S+ \(\d+ ns\): LookupError: no such sector; ", said)
    assert said.endswith(f"in {tmp_path / 'run.failed'}")
    assert [path.name for path in tmp_path.iterdir()] == ["run.failed"]
    kept = tmp_path / "run.failed"
    manifest = json.loads((kept / "manifest.json").read_text())
    assert manifest["ended"] is False
    assert said.startswith(manifest["error"])
    assert "LookupError: no such sector" in manifest["error"]
    closing = json.loads((kept / "audit.jsonl").read_text().splitlines()[-1])
    assert (closing["kind"], closing["facts"]["failed"]) == ("closed", manifest["error"])
    assert manifest["audit"]["head"] == closing["hash"]
    recorded = open_recorded(kept)
    assert not recorded.ended
    signals = [entry.event for entry in recorded.entries() if isinstance(entry.event, Signal)]
    assert len(signals) == 29
    assert load_run(kept / "run.yaml") == recorded.run
    verdict = asyncio.run(verify(recorded))
    assert verdict.identical
    assert not verdict.ended


def test_an_older_failed_session_makes_way_and_nothing_else_does(tmp_path: Path) -> None:
    out, kept = tmp_path / "run", tmp_path / "run.failed"
    failed(out)
    before = json.loads((kept / "manifest.json").read_text())["run_id"]
    failed(out)
    assert json.loads((kept / "manifest.json").read_text())["run_id"] != before
    assert [path.name for path in tmp_path.iterdir()] == ["run.failed"]
    (kept / "manifest.json").write_text('{"name": "a thesis"}')
    said = failed(out)
    place = Path(said.rpartition(" in ")[2])
    assert (place.parent, place.suffix) == (tmp_path, ".part")
    assert json.loads((place / "manifest.json").read_text())["ended"] is False
    assert (kept / "manifest.json").read_text() == '{"name": "a thesis"}'


def test_a_failed_run_leaves_the_finished_one_of_the_same_name_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(small(), out=out)
    before = (out / "manifest.json").read_bytes()
    failed(out, overwrite=True)
    assert (out / "manifest.json").read_bytes() == before
    assert json.loads(before)["ended"] is True
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.failed"]


def test_without_a_directory_a_failure_says_nothing_of_one() -> None:
    with pytest.raises(ComponentError) as caught:
        run(broken())
    assert str(caught.value).endswith("LookupError: no such sector")


@pytest.mark.parametrize("manifest", ["another's", '{"name": "mine"}', '{"run_id": 1, "digest": ""}', "[]"])
def test_a_folder_with_a_manifest_that_is_no_session_s_is_not_replaced(manifest: str, tmp_path: Path) -> None:
    out = tmp_path / "web-extension"
    out.mkdir()
    (out / "manifest.json").write_text(manifest)
    with pytest.raises(ConfigError, match="not a session directory, so it is not replaced"):
        run(small(), out=out, overwrite=True)
    assert (out / "manifest.json").read_text() == manifest


def test_one_that_came_there_while_it_ran_is_not_replaced_either(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def another_is_faster(progress: Any) -> None:
        if progress.slices == 3:
            out.mkdir()
            (out / "thesis.txt").write_text("years of work")

    with pytest.raises(ConfigError, match="not a session directory, so it is not replaced"):
        run(small(), out=out, overwrite=True, progress=another_is_faster)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert (out / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_a_killed_process_of_the_same_number_left_stays(tmp_path: Path) -> None:
    left = tmp_path / f".run.{os.getpid()}.part"
    left.mkdir()
    (left / "evidence").write_text("")
    run(small(), out=tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == [left.name, "run"]
    assert (left / "evidence").is_file()


@pytest.mark.parametrize(
    ("session", "error"),
    [
        ({"start": "2031-01-01", "end": None}, DataError),
        ({"start": "2019-06-08", "end": "2019-06-09"}, DataError),  # a weekend
    ],
)
def test_a_range_without_bars_is_an_error_and_leaves_nothing(
    session: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(error):
        run(small(session=small()["session"] | session), out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


async def test_it_runs_where_an_event_loop_runs_already() -> None:
    in_notebook = run(small())
    awaited = await arun(small())
    assert in_notebook.summary["digest"] == awaited.summary["digest"]
    with pytest.raises(ConfigError):
        run(small(session={"name": "x", "cash": 0}))


async def test_signals_can_be_followed_while_the_session_runs() -> None:
    prepared = open_session(small())
    tap = prepared.bus.tap(Signal)
    seen: list[int] = []

    async def follow() -> None:
        async for signal in tap:
            seen.append(signal.ts)

    reader = asyncio.create_task(follow())
    await prepared.run()
    await reader
    assert len(seen) == prepared.fold.counts().slices
    assert seen == sorted(seen)
    assert tap.lost == 0


def test_progress_is_told_once_a_slice() -> None:
    told: list[Any] = []
    result = run(small(), progress=told.append)
    assert [p.slices for p in told] == list(range(1, result.summary["slices"] + 1))


def test_a_run_without_a_directory_has_its_equity_all_the_same() -> None:
    result = run(small())
    assert isinstance(result, Result)
    assert result.equity.num_rows == result.summary["slices"]


def test_a_model_answers_only_after_the_day_it_was_trained_until(tmp_path: Path) -> None:
    run(trained(), out=tmp_path / "run")
    signals = [e.event for e in read_journal(tmp_path / "run" / "journal") if isinstance(e.event, Signal)]
    cut = np.datetime64("2019-06-29", "ns").astype(np.int64)
    assert all(np.isnan(s.value).all() and not s.model_hash for s in signals if s.ts < cut)
    assert all(np.isfinite(s.value).any() and s.model_hash for s in signals if s.ts >= cut)


def test_a_model_that_would_learn_from_a_few_slices_is_not_trained_unless_that_is_said(tmp_path: Path) -> None:
    early, out = ["models[0].train.since=2019-06-03"], tmp_path / "run"
    with pytest.raises(
        DataError, match=r"\d+ slices up to 2019-06-28 have a label, and train.least is 60; learn until"
    ):
        run(trained(), out=out, overrides=early)
    assert not out.exists()
    small_enough = ["models[0].train.least=5", "models[0].min_data_in_leaf=5"]
    run(trained(), out=out, overrides=[*early, *small_enough])
    assert "least: 5" in (out / "run.yaml").read_text()


def test_a_trained_model_can_be_named_by_its_folder(tmp_path: Path) -> None:
    first = run(trained(), out=tmp_path / "run")
    model = {"name": "gbdt", "use": "lightgbm", "features": "rolling", "num_boost_round": 20}
    named = trained() | {"models": [model | {"artefact": str(tmp_path / "run" / "models" / "gbdt")}]}
    second = run(named, out=tmp_path / "second")
    hashes = [json.loads((tmp_path / name / "manifest.json").read_text())["models"] for name in ("run", "second")]
    assert hashes[0] == hashes[1]
    assert second.summary["rank_ic"] is not None
    assert first.summary["digest"] != second.summary["digest"]  # it answers from the first slice on


def test_scores_of_tickers_that_look_like_other_things_are_read_and_stray_rows_are_told(tmp_path: Path) -> None:
    bars = tmp_path / "bars"
    bars.mkdir()
    days = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"]
    for k, symbol in enumerate(("NO", "TRUE", "000001", "NULL")):
        rows = [f"{day},{10 + k},{11 + k},{9 + k},{10 + k + i / 10},1000" for i, day in enumerate(days)]
        (bars / f"{symbol}.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]))
    scores = tmp_path / "scores.csv"
    stray = "2024-01-06,NO,1"  # a Saturday
    rows = [f"2024-01-02,{symbol},{k}" for k, symbol in enumerate(("NO", "TRUE", "000001", "NULL"))]
    scores.write_text("\n".join(["date,symbol,score", *rows, stray]))
    result = run(
        small(
            session={"name": "tickers", "cash": 10_000},
            feed={
                "use": "csv",
                "path": str(bars),
                "close": "16:00 America/New_York",
                "symbols": ["NO", "TRUE", "000001", "NULL"],
            },
            models=[{"name": "mine", "use": "scores", "table": str(scores), "stale": 9}],
            strategy={"use": "topk_dropout", "topk": 2, "n_drop": 1},
            risk={},
        ),
        out=tmp_path / "run",
    )
    assert set(result.fills["symbol"].to_pylist()) == {"000001", "NULL"}
    assert any("1 row of scores.csv not used" in warning for warning in result.warnings)


def test_a_directory_that_came_into_being_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def another_finishes(progress: Any) -> None:
        if progress.slices == 3:
            out.mkdir()
            (out / "manifest.json").write_text("another's")

    with pytest.raises(ConfigError, match="it is there already"):
        run(small(), out=out, progress=another_finishes)
    assert (out / "manifest.json").read_text() == "another's"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_link_is_not_replaced(tmp_path: Path) -> None:
    run(small(), out=tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="it is a link, so it is not replaced"):
        run(small(), out=tmp_path / "link", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]


def test_a_journal_that_was_cut_is_told_when_the_digest_is_known(tmp_path: Path) -> None:
    digest = run(small(), out=tmp_path / "run").summary["digest"]
    folder = tmp_path / "run" / "journal"
    whole = list(read_journal(folder, digest))
    path = next(folder.iterdir())
    path.write_bytes(path.read_bytes()[:-2000])
    assert len(list(read_journal(folder))) < len(whole)
    with pytest.raises(StateError, match="the journal ends before its session did"):
        list(read_journal(folder, digest))
