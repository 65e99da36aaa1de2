"""How a session decided: in its directory, its report, beside another, and on the command line."""

import json
import shutil
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from engine.errors import DataError
from engine.events import Book, Note
from engine.instants import instant_text
from samewire import run
from samewire.cli import main
from samewire.comparing import comparison_of
from samewire.recorded import open_recorded
from samewire.reporting import render_report, view_of
from samewire.result import read_parquet
from tests.samewire.test_reporting import browser

GUARDS: dict[str, Any] = {
    "filters": [{"use": "price", "minimum": 50}],
    "rules": [{"use": "stop_loss", "loss": 0.04}, {"use": "drawdown_brake", "start": 0.01, "full": 0.3}],
}
RUN: dict[str, Any] = {
    "schema": 1,
    "session": {"name": "decided", "cash": 1_000_000, "start": "2018-01-02", "end": "2018-07-31"},
    "feed": {"use": "sample", "symbols": 12, "years": 2},
    "models": [
        {"name": "slow", "use": "momentum", "window": 30},
        {"name": "fast", "use": "momentum", "window": 10},
    ],
    "strategy": {
        "use": "sleeves",
        "shares": [2, 1],
        "names": ["core", "quick"],
        "rebalance_every": 40,
        "strategies": [
            {"use": "topk_dropout", "topk": 6, "n_drop": 1, "signal": "slow"},
            {"use": "score_weights", "method": "rank", "signal": "fast"},
        ],
        **GUARDS,
    },
    "optimizer": {
        "use": "portfolio",
        "risk_model": {"use": "ledoit_wolf", "window": 60, "min_slices": 20},
        "benchmark": "equal",
        "max_participation": 0.02,
        "method": {
            "use": "composed",
            "objective": [
                {"use": "expected_return", "ic": 0.05},
                {"use": "variance", "aversion": 5, "about": "benchmark"},
                {"use": "linear_cost", "buy_bps": 5, "sell_bps": 15, "holding_slices": 20},
            ],
            "constraints": [
                "long_only",
                {"use": "budget", "full": True},
                {"use": "box", "max": 0.2},
                {"use": "sectors", "max": 0.24},
                {"use": "turnover", "max": 0.05},
            ],
        },
    },
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
}
PLAIN = {**RUN, "strategy": {"use": "topk_dropout", "topk": 4, "n_drop": 1, "signal": "slow"}, "optimizer": "direct"}


def recorded(folder: Path, config: dict[str, Any], name: str = "out") -> Path:
    (folder / f"{name}.yaml").write_text(json.dumps(config))
    run(folder / f"{name}.yaml", out=folder / name)
    return folder / name


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("decided"), RUN)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("plain"), PLAIN)


@pytest.fixture(scope="module")
def notes(session: Path) -> list[Note]:
    return [e.event for e in open_recorded(session).entries(bars=False) if isinstance(e.event, Note)]


@pytest.fixture(scope="module")
def kept(session: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((session / "decisions.json").read_text())
    return found


# ---- the figures are those of the journal, by a plain loop -----------------------------------------------------------


def test_shadow_prices_are_those_of_the_journal(notes: list[Note], kept: dict[str, Any]) -> None:
    solved = {note.ts for note in notes if note.kind == "weights"}
    prices: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for note in notes:
        if not note.kind.startswith("binds:"):
            continue
        name, label = note.kind[6:], ""
        if "bound of" in note.text:
            label = "upper bound" if "the upper" in note.text else "lower bound"
        elif note.text.startswith(f"{name}: "):
            label = note.text[len(name) + 2 :].split(" at its limit")[0]
        for key in {(name, label), (name, "")}:
            prices[key].append((note.ts, np.abs(note.value)))
    found = {(c["constraint"], c["label"]): c for c in kept["decisions"]["constraints"]}
    assert {"box", "budget", "long_only", "sectors", "turnover", "cost"} <= {name for name, _ in found}
    assert len([label for name, label in found if name == "sectors"]) > 2  # all of it, and several sectors
    for key, line in found.items():
        times = {ts for ts, _ in prices[key]}
        assert line["rebalances"] == len(times)
        assert line["share"] == pytest.approx(len(times) / len(solved))
        assert line["price_mean"] == pytest.approx(np.mean([value.mean() for _, value in prices[key]]))
        assert line["price_max"] == max(value.max() for _, value in prices[key])


def test_routes_and_fallbacks_are_those_of_the_journal(notes: list[Note], kept: dict[str, Any]) -> None:
    decisions = kept["decisions"]
    texts = [note.text for note in notes if note.kind == "weights"]
    assert decisions["answered"] == len(texts)
    assert {route["route"] for route in decisions["routes"]} >= {"kernel"}
    for route in decisions["routes"]:
        own = [text for text in texts if f"solved by {route['route']} in" in text]
        assert route["rebalances"] == len(own) > 0
        assert route["iterations_median"] == median(int(text.split(" in ")[1].split()[0]) for text in own)
        assert route["residual_max"] == max(float(text.split("residual ")[1].split(",")[0]) for text in own) < 1e-7
    steps: dict[str, list[int]] = defaultdict(list)
    for note in notes:
        if note.kind == "fallback" and "too little history" in note.text:
            steps["hold"].append(note.ts)
        elif note.kind.startswith("fallback:"):
            steps[note.kind[9:]].append(note.ts)
    told: dict[str, int] = defaultdict(int)
    for fallback in decisions["fallbacks"]:
        told[fallback["step"]] += fallback["count"]
        assert min(map(instant_text, steps[fallback["step"]])) <= fallback["first"] <= fallback["last"]
    assert told == {step: len(times) for step, times in steps.items()}
    assert told["hold"] > 0
    assert told["relax"] > 0
    conflicts = [note.text for note in notes if note.kind == "infeasible"]
    assert sum(conflict["count"] for conflict in decisions["conflicts"]) == len(conflicts) > 0
    for conflict in decisions["conflicts"]:
        assert any(f"satisfy {', '.join(conflict['constraints'])} together" in text for text in conflicts)
        assert all(by > 0 for by in conflict["most"])
    assert decisions["rebalances"] == len(texts) + told["hold"]


def test_rounding_cuts_exits_and_filters_are_those_of_the_journal(notes: list[Note], kept: dict[str, Any]) -> None:
    decisions = kept["decisions"]
    errors = [float(note.value[0]) for note in notes if note.kind == "rounding"]
    assert decisions["rounding"]["rebalances"] == len(errors)
    assert decisions["rounding"]["mean"] == pytest.approx(np.mean(errors))
    assert decisions["rounding"]["largest"] == max(errors)
    for change in decisions["changes"]:
        own = [note for note in notes if note.kind == change["kind"]]
        assert (change["rebalances"], change["trades"]) == (len(own), sum(len(note.symbol) for note in own))
    stops = [note for note in notes if note.kind == "rule:stop_loss"]
    (exits,) = decisions["exits"]
    assert (exits["rule"], exits["positions"]) == ("rule:stop_loss", sum(len(note.symbol) for note in stops))
    assert (exits["first"], exits["last"]) == (instant_text(stops[0].ts), instant_text(stops[-1].ts))
    brakes = [float(note.value[0]) for note in notes if note.kind == "rule:drawdown_brake"]
    (factor,) = decisions["factors"]
    assert (factor["changes"], factor["lowest"], factor["last"]) == (len(brakes), min(brakes), brakes[-1])
    passes = [value for note in notes if note.kind == "filter:price" for value in note.value.tolist()]
    (screen,) = decisions["screens"]
    assert (screen["dropped"], screen["returned"]) == (passes.count(0.0), passes.count(1.0))
    assert screen["dropped"] > 0


def test_what_the_sleeves_gained_is_what_the_account_gained(
    session: Path, notes: list[Note], kept: dict[str, Any]
) -> None:
    sleeves = kept["decisions"]["sleeves"]
    assert [sleeve["name"] for sleeve in sleeves] == ["core", "quick"]
    books = {e.event.ts: e.event for e in open_recorded(session).entries(bars=False) if isinstance(e.event, Book)}
    told = [(note.ts, note.text, float(note.value[0])) for note in notes if note.kind == "sleeve"]
    last = books[told[-1][0]].equity
    assert sum(sleeve["gained"] for sleeve in sleeves) == pytest.approx(last - 1_000_000)
    assert sum(sleeve["moved"] for sleeve in sleeves) == pytest.approx(0.0, abs=1e-6)
    equity = {(ts, name): value for ts, name, value in told}
    slices = sorted({ts for ts, _, _ in told})
    moves = [note for note in notes if note.kind == "sleeve:moved"]
    assert len(moves) == 2 * (sum(1 for note in moves) // 2) > 0
    for note in moves:  # told one slice after they were made, when capital had its shares again
        before = slices[slices.index(note.ts) - 1]
        share = {"core": 2 / 3, "quick": 1 / 3}[note.text]
        whole = equity[before, "core"] + equity[before, "quick"]
        assert equity[before, note.text] + float(note.value[0]) == pytest.approx(share * whole)
    table = read_parquet(session / "sleeves.parquet")
    assert table.column_names == ["ts", "strategy.core", "strategy.quick"]
    assert table["strategy.core"].to_pylist() == [value for _, name, value in told if name == "core"]


def test_the_attribution_kept_is_that_of_the_command(
    session: Path, kept: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attribution", str(session), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, **kept["attribution"]}


# ---- where it is shown -----------------------------------------------------------------------------------------------


def test_the_report_has_a_part_of_it_and_a_chart_of_the_sleeves(session: Path, kept: dict[str, Any]) -> None:
    view = view_of(session)
    (part,) = view.parts
    titles = [grid.title for grid in part.grids]
    assert titles == [
        *("What each constraint cost", "Who answered", "Fallbacks", "Limits that contradict one another"),
        *(
            "From weights to orders",
            "Sleeves",
            "Exits",
            "Filters",
            "Factors of rules",
            "Attribution against equal weight",
        ),
    ]
    constraints = part.grids[0]
    assert "basis points" in constraints.caption
    line = kept["decisions"]["constraints"][0]
    assert constraints.rows[0][0] == line["constraint"]
    assert float(constraints.rows[0][5]) == pytest.approx(line["price_mean"] * 1e4, abs=0.006)
    chart = next(chart for chart in view.charts if chart.title == "Sleeves")
    assert [series.label for series in chart.series] == ["core", "quick"]
    assert sum(series.value[-1] for series in chart.series) == pytest.approx(
        json.loads((session / "summary.json").read_text())["final_equity"]
    )
    text = render_report(session).read_text()
    assert "<h2>Decisions</h2>" in text
    assert "budget[sum], turnover" in text


def test_a_session_that_solves_nothing_has_no_such_part_and_pays_for_none(
    plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not (plain / "decisions.json").exists()
    assert view_of(plain).parts == ()
    assert main(["decisions", str(plain)]) == 0
    assert "no component left a note about its decisions" in capsys.readouterr().out


def test_a_directory_of_before_has_a_report_without_it_and_its_journal_still_tells(
    session: Path, kept: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(session, tmp_path / "old"))
    for name in ("decisions.json", "sleeves.parquet"):
        (folder / name).unlink()
    assert view_of(folder).parts == ()
    assert "Sleeves" not in {chart.title for chart in view_of(folder).charts}
    assert main(["decisions", str(folder), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, **kept["decisions"]}
    (folder / "decisions.json").write_text('{"schema": 2, "decided": []}')
    assert view_of(folder).parts == ()
    (folder / "decisions.json").write_text('{"decisions": 3}')
    with pytest.raises(DataError, match=r"decisions\.json: it cannot be read: .* delete it"):
        view_of(folder)


def test_two_sessions_side_by_side_show_the_decisions_of_those_that_have_them(session: Path, plain: Path) -> None:
    def told(first: Path, second: Path) -> Any:
        return next((grid for grid in comparison_of(first, second).grids if grid.title == "Decisions"), None)

    assert told(plain, plain) is None
    both = {row[0]: row[1:] for row in told(session, session).rows}
    assert both["binds: turnover"][0] == both["binds: turnover"][1]
    one = {row[0]: row[1:] for row in told(plain, session).rows}
    assert one.keys() == both.keys()
    assert all(row[0] == "–" for row in one.values())


def test_the_manifest_has_its_hash_and_an_altered_one_is_named(
    session: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = json.loads((session / "manifest.json").read_text())["results"]
    assert {"decisions.json", "sleeves.parquet"} <= results.keys()
    folder = Path(shutil.copytree(session, tmp_path / "altered"))
    path = folder / "decisions.json"
    path.write_text(path.read_text().replace('"rebalances": ', '"rebalances": 1', 1))
    assert main(["verify", str(folder)]) == 1
    assert "decisions.json" in capsys.readouterr().out


def test_the_command_says_in_text_what_the_report_shows(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decisions", str(session)]) == 0
    out = capsys.readouterr().out
    for grid in view_of(session).parts[0].grids:
        if not grid.title.startswith("Attribution"):
            assert grid.title in out
            assert all(cell in out for row in grid.rows for cell in row)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_the_sleeves_and_all_tables(session: Path, tmp_path: Path, width: int) -> None:
    seen = browser("--dump-dom", f"--window-size={width},6000", render_report(session).as_uri(), profile=tmp_path / "p")
    dom = seen.stdout.decode()
    assert dom.count('data-drawn="1"') == len(view_of(session).charts)
    assert all(grid.title in dom for grid in view_of(session).parts[0].grids)
    assert b"CONSOLE" not in seen.stderr, seen.stderr.decode()[-2000:]
