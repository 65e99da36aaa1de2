"""The report of a session directory: what it shows, that it needs nothing else, and that a browser draws it."""

import json
import os
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from adapters.files.session_dir import write_columns
from engine.errors import DataError
from engine.events import DAY_NS, MINUTE_NS
from samewire.reporting import POINTS_MAX, render_report, view_of
from tests.make import START_NS
from tests.samewire.sessions import session_directory

SIZE_MAX = 500_000
CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_directory(tmp_path_factory.mktemp("reports") / "run", slices=300)


@pytest.fixture(scope="module")
def decade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return session_directory(tmp_path_factory.mktemp("reports") / "decade", slices=2520, n=20)


def test_ten_years_of_days_stay_below_half_a_megabyte(decade: Path) -> None:
    page = render_report(decade)
    assert page == decade / "report.html"
    assert page.stat().st_size < SIZE_MAX


def test_the_page_asks_for_nothing_outside_itself(session: Path) -> None:
    text = render_report(session).read_text()
    assert re.findall(r"(?:src|href|action|poster|data)\s*=\s*[\"']?(?!image)[a-z]+:", text) == []
    assert "@import" not in text
    assert "url(" not in text
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]


def test_text_from_outside_is_escaped_everywhere(tmp_path: Path) -> None:
    folder = session_directory(tmp_path / "run", slices=40, n=12, name=HOSTILE, models=(HOSTILE, "ok"))
    summary = json.loads((folder / "summary.json").read_text())
    summary["warnings"] = [HOSTILE]
    summary["issues"] = [{"kind": HOSTILE, "count": 1, "rule": HOSTILE, "examples": [HOSTILE]}]
    summary["refused_by"] = {HOSTILE: 3}
    (folder / "summary.json").write_text(json.dumps(summary))
    text = render_report(folder).read_text()
    assert "<img" not in text
    assert text.count("<script") == 2  # the numbers and the script
    assert text.count("</script>") == 2


def test_every_headline_figure_carries_its_definition(session: Path) -> None:
    view = view_of(session)
    labels = [figure.label for figure in view.figures]
    assert labels[:2] == ["Total return", "CAGR"]
    assert all(figure.definition for figure in (*view.figures, *view.more))
    text = render_report(session).read_text()
    assert all(
        f"<p>{figure.definition.split('<')[0][:30]}" in text for figure in view.figures if "'" not in figure.definition
    )


def test_warnings_and_defects_of_the_feed_are_shown(session: Path) -> None:
    text = render_report(session).read_text()
    assert "The signal was made for a test." in text
    assert "AAA 2018-03-01: high" in text


def test_months_and_years_agree_with_the_total(session: Path) -> None:
    view = view_of(session)
    grids = {grid.title: grid for grid in view.grids}
    total = json.loads((session / "summary.json").read_text())["total_return"]
    months = [x for row in grids["Months"].heat for x in row if np.isfinite(x)]
    assert np.prod([1 + x for x in months]) - 1 == pytest.approx(total)
    years = [float(row[1].removesuffix(" %")) / 100 for row in grids["Years"].rows]
    assert np.prod([1 + x for x in years]) - 1 == pytest.approx(total, abs=2e-3)


def test_trades_and_symbols_have_their_tables(session: Path) -> None:
    grids = {grid.title: grid for grid in view_of(session).grids}
    summary = json.loads((session / "summary.json").read_text())
    assert grids["Trades"].rows[0][:2] == ("all", f"{summary['trades']:,}")
    best = [float(row[7].removesuffix(" %")) for row in grids["Best and worst trades"].rows]
    assert best == sorted(best, reverse=True)
    assert best[0] == pytest.approx(100 * summary["best_trade"], abs=0.006)
    assert best[-1] == pytest.approx(100 * summary["worst_trade"], abs=0.006)
    totals = [float(row[1].replace(",", "")) for row in grids["P&L by symbol"].rows]
    assert totals == sorted(totals, reverse=True)
    assert len(totals) == 10


def test_costs_and_income_without_a_trade_have_their_lines(session: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(session, tmp_path / "run"))
    summary = json.loads((folder / "summary.json").read_text())
    summary["costs"] |= {"borrow": 1234.0, "margin_interest": 55.0}
    summary |= {"dividends": -42.0, "interest": 7.0}
    (folder / "summary.json").write_text(json.dumps(summary))
    grids = {grid.title: grid for grid in view_of(folder).grids}
    assert [row[0] for row in grids["Costs by kind"].rows] == [
        *("commission", "slippage", "borrow", "margin interest", "all"),
    ]
    assert [row[:2] for row in grids["Income apart from trades"].rows] == [
        ("dividends", "-42"),
        ("interest on cash", "7"),
    ]


def test_a_directory_of_before_has_a_report_without_the_tables_of_trades(session: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(session, tmp_path / "run"))
    for name in ("trades.parquet", "pnl.parquet", "charges.parquet", "actions.parquet"):
        (folder / name).unlink()
    assert not {"Trades", "P&L by symbol"} & {grid.title for grid in view_of(folder).grids}


def test_the_report_goes_where_it_is_sent(session: Path, tmp_path: Path) -> None:
    assert render_report(session, tmp_path / "deep" / "r.html").is_file()
    assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "r.html"]


def test_a_long_session_is_thinned_to_what_a_screen_shows(tmp_path: Path) -> None:
    t = 20_000
    ts = START_NS + np.arange(t) * MINUTE_NS
    equity = np.full(t, 100.0)
    equity[7_777] = 50.0  # one slice of ruin must not vanish between two drawn points
    write_columns(tmp_path / "equity.parquet", {"ts": ts, "equity": equity, "cost": np.ones(t)})
    (tmp_path / "summary.json").write_text(json.dumps({"initial_equity": 100.0, "periods_per_year": 98_280}))
    view = view_of(tmp_path)
    assert len(view.ts) == POINTS_MAX
    assert view.ts[-1] == ts[-1]
    drawdown = next(chart for chart in view.charts if chart.title == "Drawdown")
    assert drawdown.series[0].value.min() == pytest.approx(-0.5)
    assert render_report(tmp_path).stat().st_size < SIZE_MAX


def test_a_directory_with_the_least_it_needs_has_a_report(tmp_path: Path) -> None:
    write_columns(tmp_path / "equity.parquet", {"ts": np.array([START_NS]), "equity": np.array([1.0])})
    (tmp_path / "summary.json").write_text("{}")
    assert "No warnings." in render_report(tmp_path).read_text()


def test_a_directory_without_a_session_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no readable summary.json"):
        render_report(tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(DataError, match="no curve to draw"):
        render_report(tmp_path)


def test_the_same_session_gives_the_same_page(session: Path, tmp_path: Path) -> None:
    assert render_report(session).read_bytes() == render_report(session, tmp_path / "again.html").read_bytes()


# ---- in a browser ----------------------------------------------------------------------------------------------------


def browser(*arguments: str, profile: Path) -> subprocess.CompletedProcess[bytes]:
    """Headless Chromium that can reach nothing; skipped where there is none, unless one is required."""
    if not Path(CHROMIUM).is_file():
        if os.environ.get("SAMEWIRE_REQUIRE_BROWSER") == "1":
            pytest.fail("no chromium here, and SAMEWIRE_REQUIRE_BROWSER=1 asks for one")
        pytest.skip("no chromium here; install it to test how the report is drawn")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]
    flags += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--enable-logging=stderr"]
    return subprocess.run([CHROMIUM, *flags, *arguments], capture_output=True, timeout=120, check=True)


def colours(png: bytes) -> set[bytes]:
    """The distinct bytes of an unfiltered reading: enough to tell a blank picture from a drawn one."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    parts, at = b"", 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            parts += png[at + 8 : at + 8 + length]
        at += 12 + length
    raw = zlib.decompress(parts)
    return {raw[i : i + 3] for i in range(0, len(raw), 997)}


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 500])
def test_a_browser_without_network_draws_every_chart(session: Path, tmp_path: Path, width: int) -> None:
    page = render_report(session).as_uri()
    seen = browser("--dump-dom", f"--window-size={width},2400", page, profile=tmp_path / "p")
    dom = seen.stdout.decode()
    charts = len(view_of(session).charts)
    assert dom.count('data-drawn="1"') == charts
    assert dom.count("<canvas") == charts
    assert b"CONSOLE" not in seen.stderr, seen.stderr.decode()[-2000:]


PROBE = """<script>document.title = [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)
.map(e => e.parentElement.querySelector('h2').textContent).join() || 'all fit'</script>"""


@pytest.mark.browser
def test_tables_fit_where_two_stand_side_by_side(session: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(session, tmp_path / "run"))
    summary = json.loads((folder / "summary.json").read_text())
    summary["costs"] |= {"margin_interest": 1_234_567.0}
    (folder / "summary.json").write_text(json.dumps(summary | {"dividends": 123_456.0}))
    text = render_report(folder).read_text()
    assert [grid.title for grid in view_of(folder).grids if not grid.wide] == [
        *("Costs by kind", "Income apart from trades"),
    ]
    bare = re.sub(r"<meta http-equiv=.Content-Security-Policy.[^>]*>", "", text)  # which lets no other script run
    (tmp_path / "probed.html").write_text(bare.replace("</body>", f"{PROBE}</body>"))
    page = (tmp_path / "probed.html").as_uri()
    seen = browser("--dump-dom", "--window-size=1200,2400", page, profile=tmp_path / "p").stdout.decode()
    assert re.findall("<title>(.*)</title>", seen) == ["all fit"]


@pytest.mark.browser
def test_the_picture_is_not_blank(session: Path, tmp_path: Path) -> None:
    page = render_report(session).as_uri()
    browser(f"--screenshot={tmp_path / 's.png'}", "--window-size=1280,2400", page, profile=tmp_path / "p")
    assert len(colours((tmp_path / "s.png").read_bytes())) > 30


@pytest.mark.browser
def test_hostile_names_run_nothing(tmp_path: Path) -> None:
    folder = session_directory(tmp_path / "run", slices=40, n=12, name=HOSTILE, models=(HOSTILE,))
    seen = browser("--dump-dom", render_report(folder).as_uri(), profile=tmp_path / "p")
    assert b"<title>owned" not in seen.stdout
    assert b"<img" not in seen.stdout


@pytest.mark.browser
def test_a_session_of_one_slice_is_drawn_without_errors(tmp_path: Path) -> None:
    write_columns(tmp_path / "equity.parquet", {"ts": np.array([START_NS + DAY_NS]), "equity": np.array([1.0])})
    (tmp_path / "summary.json").write_text("{}")
    seen = browser("--dump-dom", render_report(tmp_path).as_uri(), profile=tmp_path / "p")
    assert b"CONSOLE" not in seen.stderr, seen.stderr.decode()[-2000:]
