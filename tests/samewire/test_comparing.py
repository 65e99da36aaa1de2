"""Two session directories on one page: what it says of each, of their differences, and that it needs nothing else."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.report import Grid, ReportView
from engine.errors import DataError
from samewire import run
from samewire.comparing import comparison_of, render_comparison
from samewire.definitions import written
from tests.samewire.scripted import config, feed, wish
from tests.samewire.sessions import session_directory
from tests.samewire.test_cli import samewire
from tests.samewire.test_reporting import HOSTILE, SIZE_MAX, browser, colours

CONFIG: dict[str, Any] = {
    "session": {"name": "a", "seed": 7},
    "models": [{"use": "momentum", "window": 5}],
    "feed": {"symbols": ["A", "B"]},
}


def change(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.fixture
def two(tmp_path: Path) -> tuple[Path, Path]:
    first = session_directory(tmp_path / "one", slices=300, n=12, name="slow", seed=1)
    second = session_directory(tmp_path / "two", slices=240, n=12, name="fast", seed=2)
    change(first, "manifest.json", config=CONFIG)
    other = {"session": {"name": "a", "seed": 8}, "models": [{"use": "momentum", "window": 5, "lag": 1}]}
    change(second, "manifest.json", config=CONFIG | other | {"feed": {"symbols": ["A", HOSTILE]}})
    return first, second


def grid(view: ReportView, title: str) -> Grid:
    return next(each for each in (*view.leading, *view.grids) if each.title == title)


def test_figures_stand_side_by_side_with_their_difference(two: tuple[Path, Path]) -> None:
    shown = grid(comparison_of(*two), "Figures")
    assert shown.head == ("", "slow", "fast", "Difference")
    first, second = (json.loads((folder / "summary.json").read_text()) for folder in two)
    rows = {row[0]: row[1:] for row in shown.rows}
    points = (second["total_return"] - first["total_return"]) * 100
    both = (written("total_return", first["total_return"]), written("total_return", second["total_return"]))
    assert rows["Total return"] == (*both, f"{points:+.2f} pp")
    assert rows["Final equity"][2] == f"{second['final_equity'] - first['final_equity']:+,.0f}"
    assert rows["Refusals"][2] == "same"


def test_an_undefined_figure_has_no_difference(two: tuple[Path, Path]) -> None:
    change(two[1], "summary.json", sharpe=None)
    assert {row[0]: row[2:] for row in grid(comparison_of(*two), "Figures").rows}["Sharpe"] == ("–", "")


def test_equity_and_drawdown_of_both_are_in_one_chart_each(two: tuple[Path, Path]) -> None:
    view = comparison_of(*two)
    assert [(chart.title, [s.label for s in chart.series]) for chart in view.charts] == [
        ("Equity", ["slow", "fast"]),
        ("Drawdown", ["slow", "fast"]),
    ]
    assert len(view.ts) == 300
    for chart, figure in zip(view.charts, ("final_equity", "max_drawdown"), strict=True):
        for series, folder in zip(chart.series, two, strict=True):
            known = series.value[np.isfinite(series.value)]
            drawn = known[-1] if figure == "final_equity" else known.min()
            assert drawn == pytest.approx(json.loads((folder / "summary.json").read_text())[figure])
    assert np.isnan(view.charts[0].series[1].value[240:]).all()  # the shorter one ends where it ended


def test_sessions_of_different_size_are_drawn_over_their_own_initial_equity(two: tuple[Path, Path]) -> None:
    change(two[1], "summary.json", initial_equity=5e6)
    chart = comparison_of(*two).charts[0]
    assert (chart.form, chart.caption) == ("number", "Net of costs, each over its own initial equity.")
    assert chart.series[0].value[0] == pytest.approx(1.0, abs=0.1)


def test_the_keys_whose_values_differ_are_listed_and_no_others(two: tuple[Path, Path]) -> None:
    assert grid(comparison_of(*two), "Configuration").rows == (
        ("session.seed", "7", "8"),
        ("feed.symbols", "A, B", f"A, {HOSTILE}"),
        ("models[0].lag", "–", "1"),
    )
    same = comparison_of(two[0], two[0])
    assert (grid(same, "Configuration").rows, grid(same, "Configuration").caption) == ((), "No key differs.")


def test_a_manifest_without_a_configuration_is_told(two: tuple[Path, Path]) -> None:
    change(two[1], "manifest.json", config=None)
    assert grid(comparison_of(*two), "Configuration").caption == "The manifest of fast holds no configuration."


def test_warnings_of_both_are_shown_and_what_both_say_stands_once(two: tuple[Path, Path]) -> None:
    change(two[0], "summary.json", warnings=["rare", "shared"])
    change(two[1], "summary.json", warnings=["shared", "other"])
    assert comparison_of(*two).warnings[-3:] == ("both: shared", "slow: rare", "fast: other")


def test_what_keeps_two_sessions_from_being_compared_is_told_first(two: tuple[Path, Path]) -> None:
    change(two[1], "manifest.json", feed={"use": "parquet", "hashes": {"bars.parquet": "00"}})
    change(two[1], "manifest.json", universe={"symbols": ["A"], "currencies": ["EUR"]})
    change(two[1], "summary.json", benchmark="S001", digest="0")
    said = comparison_of(*two).warnings
    assert said[0].startswith("The sessions cover different days: 2018-01-02 to ")
    assert [text.split()[3] + " " + text.split()[4] for text in said[1:4]] == [
        "different market",
        "different universes.",
        "different currencies.",
    ]
    assert "different benchmarks" in said[4]


def worked(folder: Path, name: str, execution: dict[str, Any] | None) -> Path:
    """A session of two orders, worked by this policy."""
    once = wish(0.4, 0.2, 0, 0, 0) | {"schedule": {"use": "every", "slices": 20}}
    made = {"strategy": once, "feed": feed(slices=12, drift=0.02), "session": {"name": name, "cash": 100_000}}
    run(config(**made, execution=execution), out=folder / name)
    return folder / name


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("worked")
    policies: dict[str, dict[str, Any] | None] = {
        "even": {"use": "twap", "horizon": 4, "span_days": True},
        "longer": {"use": "twap", "horizon": 8, "span_days": True},
        "front": {"use": "tests.samewire.scripted:FrontLoaded", "horizon": 4},
        "plain": None,
    }
    return {name: worked(folder, name, policy) for name, policy in policies.items()}


def test_execution_of_both_stands_side_by_side_with_its_differences(sessions: dict[str, Path]) -> None:
    pair = sessions["even"], sessions["longer"]
    shown = grid(comparison_of(*pair), "Execution")
    assert shown.head == ("", "even", "longer", "Difference")
    assert shown.caption.startswith("even: twap over 4 slices. longer: twap over 8 slices. Averages by value")
    one, other = (json.loads((folder / "summary.json").read_text())["execution"] for folder in pair)
    rows = {row[0]: row[1:] for row in shown.rows}
    assert rows["Orders"] == ("2", "2", "same")
    assert rows["Fill ratio"] == ("100.0 %", "100.0 %", "same")
    for label, figure in (
        ("Price advantage to TWAP, bp", "pa_twap_bps"),
        ("Price advantage to VWAP, bp", "pa_vwap_bps"),
        ("Arrival slippage, bp", "arrival_bps"),
    ):
        values = one[figure]["value"], other[figure]["value"]
        assert rows[label] == (
            f"{values[0]:+.2f}",
            f"{values[1]:+.2f}",
            f"{round(values[1] - values[0], 2) + 0.0:+.2f}",
        )
    better = one["pos_twap"]["orders"], other["pos_twap"]["orders"]
    assert rows["Better than TWAP, of orders"][:2] == tuple(f"{value * 100:.1f} %" for value in better)


def test_execution_that_only_one_has_stands_alone_and_none_has_no_table(sessions: dict[str, Path]) -> None:
    view = comparison_of(sessions["plain"], sessions["even"])
    rows = {row[0]: row[1:] for row in grid(view, "Execution").rows}
    assert (rows["Orders"], rows["Fill ratio"]) == (("–", "2", ""), ("–", "100.0 %", ""))
    assert "Orders of only one of the sessions are worked over a horizon (twap over 4 slices)." in view.warnings
    same = comparison_of(sessions["plain"], sessions["plain"])
    assert "Execution" not in [each.title for each in same.grids]


def test_other_horizons_and_policies_are_told(sessions: dict[str, Path]) -> None:
    def said(one: str, other: str) -> list[str]:
        return [text for text in comparison_of(sessions[one], sessions[other]).warnings if "rders are worked" in text]

    (text,) = said("even", "longer")
    assert text.startswith("Orders are worked over different horizons (twap over 4 slices, and twap over 8 slices)")
    (text,) = said("even", "front")
    assert text.startswith("Orders are worked by different policies: twap over 4 slices, and tests.samewire.scripted:")
    assert said("even", "even") == said("plain", "plain") == []


def test_sessions_of_one_name_are_told_apart_by_their_folders(two: tuple[Path, Path]) -> None:
    change(two[1], "manifest.json", name="slow")
    assert grid(comparison_of(*two), "Figures").head == ("", "one", "two", "Difference")
    assert comparison_of(two[0], two[0]).title == "slow (first) and slow (second)"


def test_the_page_asks_for_nothing_is_escaped_and_small(two: tuple[Path, Path]) -> None:
    change(two[0], "manifest.json", name=HOSTILE)
    change(two[1], "summary.json", warnings=[HOSTILE])
    page = render_comparison(*two)
    assert page == two[0] / "compare.html"
    text = page.read_text()
    assert page.stat().st_size < SIZE_MAX
    assert "<img" not in text
    assert (text.count("<script"), text.count("</script>")) == (2, 2)
    assert re.findall(r"(?:src|href|action|poster|data)\s*=\s*[\"']?(?!image)[a-z]+:", text) == []
    assert "default-src 'none'; script-src 'sha256-" in text


def test_ten_years_of_two_sessions_stay_below_half_a_megabyte(tmp_path: Path) -> None:
    folders = [session_directory(tmp_path / str(i), slices=2520, n=12, seed=i, name=f"s{i}") for i in (1, 2)]
    assert render_comparison(*folders).stat().st_size < SIZE_MAX


def test_the_command_compares_two_directories_and_refuses_what_is_none(two: tuple[Path, Path], tmp_path: Path) -> None:
    ran = samewire("report", *two)
    assert (ran.returncode, ran.stdout) == (0, f"wrote {two[0] / 'compare.html'}\n"), ran.stderr
    ran = samewire("report", *two, "--out", tmp_path / "both.html", "--format", "json")
    assert json.loads(ran.stdout) == {"ok": True, "report": str(tmp_path / "both.html")}
    ran = samewire("report", two[0], tmp_path)
    assert (ran.returncode, f"{tmp_path}: not a session directory" in ran.stderr) == (3, True)
    with pytest.raises(DataError, match=r"no readable summary\.json"):
        comparison_of(two[0], tmp_path)


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_draws_both_charts(two: tuple[Path, Path], tmp_path: Path, width: int) -> None:
    page = render_comparison(*two).as_uri()
    seen = browser("--dump-dom", f"--window-size={width},2400", page, profile=tmp_path / "p")
    assert seen.stdout.decode().count('data-drawn="1"') == 2
    assert b"CONSOLE" not in seen.stderr, seen.stderr.decode()[-2000:]
    browser(f"--screenshot={tmp_path / 's.png'}", f"--window-size={width},2400", page, profile=tmp_path / "q")
    assert len(colours((tmp_path / "s.png").read_bytes())) > 20
