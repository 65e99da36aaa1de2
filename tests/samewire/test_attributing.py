"""`samewire attribution` of a recorded session: what it says adds up to what the session earned."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.events import DAY_NS, Reference
from engine.universe import universe_of
from samewire import run
from samewire.attributing import Attribution, attributed
from samewire.cli import main
from tests.make import bars, book, day, target

RUN = {
    "schema": 1,
    "session": {"name": "told", "cash": 1_000_000, "end": "2018-12-31"},
    "feed": {"use": "sample", "symbols": 12, "years": 3},
    "models": [{"name": "trend", "use": "momentum", "window": 10}],
    "strategy": {"use": "topk_dropout", "topk": 4, "n_drop": 1},
    "optimizer": "direct",
    "risk": {"use": "limits", "max_weight": 0.6, "max_gross": 1.0},
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}},
}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("told")
    (folder / "run.yaml").write_text(json.dumps(RUN))
    run(folder / "run.yaml", out=folder / "out")
    return folder / "out"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main(["attribution", *words, "--format", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_effects_add_up_to_the_session_s_own_figures(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((session / "summary.json").read_text())
    found = said(capsys, str(session))
    assert found["total"] == pytest.approx(summary["total_return"], rel=1e-9)
    assert found["benchmark"] == pytest.approx(summary["benchmark_return"], rel=1e-9)
    effects = sum(line[key] for line in found["sectors"] for key in ("allocation", "selection", "interaction"))
    assert effects + found["trading"] == pytest.approx(found["active"], abs=1e-12)
    assert found["trading"] < 0  # trades cost
    assert found["sectors"][-1]["sector"] == "cash"
    assert sum(line["weight"] for line in found["sectors"]) == pytest.approx(1.0)
    assert sum(line["benchmark_weight"] for line in found["sectors"]) == pytest.approx(1.0)
    assert 0 < found["transfer_held"] < found["transfer_targets"] + 0.2 < 1.2
    assert found["transfer_weights"] is None


@pytest.mark.parametrize(("name", "weight"), [("none", 0.0), ("equal_weight", 1.0)])
def test_another_benchmark_can_be_asked_for(
    session: Path, capsys: pytest.CaptureFixture[str], name: str, weight: float
) -> None:
    found = said(capsys, str(session), "--benchmark", name)
    assert found["against"] == name.replace("_", " ")
    assert 1.0 - found["sectors"][-1]["benchmark_weight"] == pytest.approx(weight)


def test_the_text_names_sectors_trading_and_the_transfer(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribution", str(session)]) == 0
    out = capsys.readouterr().out
    for word in ("difference", "allocation", "Technology", "cash", "trading and costs", "transfer coefficient"):
        assert word in out


def test_what_is_no_benchmark_is_refused_by_name(session: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribution", str(session), "--benchmark", "SPX"]) == 2
    assert "no benchmark 'SPX'; expected equal_weight, reference, none, or a symbol" in capsys.readouterr().err


def test_a_folder_without_a_session_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attribution", str(tmp_path)]) == 3
    assert "no session directory" in capsys.readouterr().err


# ---- what is known when ----------------------------------------------------------------------------------------------

N, SLICES = 6, 60


def told(
    benchmark: str, matrix: Any = None, wanted: Any = None, held: Any = None, name: str = "benchmark"
) -> tuple[Attribution, np.ndarray]:
    """The attribution of made-up slices, and their returns (T, N). Arguments give what is said of slice t."""
    rng = np.random.default_rng(4)
    growth = rng.normal(0, 0.02, (SLICES, N))
    growth[0] = 0.0
    close = 100.0 * np.cumprod(1.0 + growth, axis=0)
    events: list[Any] = []
    for t in range(SLICES):
        if matrix is not None:
            value = matrix(t, growth)
            columns = tuple(f"c{k}" for k in range(value.shape[1]))
            events.append(Reference(ts=day(t), name=name, rows="symbol", value=value, columns=columns))
        weights = np.full(N, 1 / N) if held is None else held(t)
        events.append(bars(ts=day(t), close=close[t], interval_ns=DAY_NS))
        events.append(book(day(t), close[t], cash=1e6 * (1.0 - weights.sum()), qty=weights * 1e6 / close[t]))
        if wanted is not None:
            events.append(wanted(t))
    universe = universe_of(tuple(f"S{i}" for i in range(N)))
    return attributed(events, universe, DAY_NS, benchmark), growth


def test_a_benchmark_earns_what_follows_the_close_at_which_it_was_known() -> None:
    def winner(t: int, growth: np.ndarray) -> np.ndarray:
        return (np.arange(N) == growth[t].argmax())[:, None] * 1.0  # the best of the day, known when the day is over

    found, growth = told("reference", winner)
    best = growth.argmax(axis=1)
    followed = np.prod([1.0 + growth[t, best[t - 1]] for t in range(1, SLICES)]) - 1.0
    assert found.benchmark == pytest.approx(followed, rel=1e-9)
    assert found.benchmark < 1.0 < np.prod(1.0 + growth[1:].max(axis=1)) - 1.0


def test_factors_earn_by_the_exposures_known_before() -> None:
    seen = np.random.default_rng(6).normal(0, 1, (SLICES, N, 1))
    found, growth = told("none", lambda t, _: seen[t], name="exposures")
    effects = []
    for t in range(1, SLICES):
        X = np.column_stack([seen[t - 1], np.ones(N)])
        f, *_ = np.linalg.lstsq(X, growth[t], rcond=None)
        effects.append((X.sum(axis=0) / N * f, growth[t].mean()))
    # These books earn nothing, so slices are linked by factors of 1.
    by_factor = sum(effect[0] for effect, _ in effects)
    specific = sum(total - effect.sum() for effect, total in effects)
    assert found.factors["c0"] == pytest.approx(by_factor, abs=1e-12)
    assert found.specific == pytest.approx(specific, abs=1e-12)


def test_opinions_are_compared_with_what_is_held_once_orders_have_filled() -> None:
    opinions = np.random.default_rng(7).normal(0, 1, (SLICES, N))

    def weights(t: int) -> np.ndarray:
        return 1 / N + 0.05 * (opinions[t] - opinions[t].mean())

    found, _ = told(
        "none",
        wanted=lambda t: target(day(t), weights(t), alpha=opinions[t]),
        held=lambda t: weights(t - 1) if t else np.full(N, 1 / N),  # filled at the next open
    )
    assert found.transfer_targets is not None
    assert found.transfer_held is not None
    assert found.transfer_targets > 0.8  # but for volatilities that differ a little
    assert found.transfer_held == pytest.approx(found.transfer_targets, abs=0.01)
    assert found.transfer_weights is None  # no optimizer said any
