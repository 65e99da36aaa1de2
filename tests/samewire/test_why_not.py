"""Why a symbol was not traded: a session for each reason, and the first reason that is told."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.events import Fills, Orders
from samewire import run
from samewire.cli import main
from samewire.explain.lines import missing_text
from samewire.explain.missing import explain_missing
from samewire.recorded import open_recorded
from tests.make import day
from tests.samewire.scripted import config, feed, view, wish

MEAN_VARIANCE = {
    "use": "mean_variance",
    "risk_model": {"use": "ledoit_wolf", "window": 20, "min_slices": 10},
    "alpha": "raw",
    "holding_slices": 1,
    "turnover_cost_bps": 0,
}

GTC = {"use": "direct", "time_in_force": "gtc"}


def told(folder: Path, symbol: str, at: int, **changes: Any) -> dict[str, Any]:
    """Runs a session and asks for the slice `at`."""
    run(config(**changes), out=folder / "run")
    return explain_missing(open_recorded(folder / "run"), symbol, str(day(at)))


CASES: dict[str, tuple[str, int, dict[str, Any], str, str]] = {
    # name: symbol, slice, what is changed, stage, text of the first reason
    "no bar": (
        "S3",
        4,
        {"feed": feed(missing=["S3@4"])},
        "bar",
        "it has no bar in this slice; its last bar was 2018-01-",
    ),
    "never a bar": (
        "S3",
        1,
        {"feed": feed(missing=["S3@0", "S3@1"])},
        "bar",
        "it has had none since the session began",
    ),
    "halted": (
        "S3",
        4,
        {"feed": feed(halted=["S3@4"])},
        "bar",
        "the exchange has halted it; its last bar was 2018-01-05",
    ),
    "not a member": ("S0", 0, {"feed": feed(outside=["S0@0"])}, "member", "not a member of the universe"),
    "warming up": (
        *("S0", 2, {"models": view(5, 4, 3, 2, 1, silent=5)}, "signal"),
        "view is warming up: in 3 slices it has had no opinion on any symbol",
    ),
    "no opinion": (
        *("S2", 3, {"models": view(5, 4, 3, 2, 1, unknown=[2])}, "signal"),
        "view has no opinion on it (NaN) and one on 4 of 5 symbols; it never had one",
    ),
    "below the cut-off": (
        *("S3", 3, {}, "rank"),
        "view gives it 2, rank 4 of 5: below the cut-off; the last of the 2 names that strategy wants (topk 2) is S1",
    ),
    "held already": ("S0", 3, {}, "target", "strategy wants the 4,750 shares that there are"),
    "kept out by what is held": (
        *(
            "S0",
            4,
            {
                "feed": feed(outside=[f"S0@{k}" for k in range(4)]),
                "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 0},
            },
        ),
        *(
            "rank",
            "view gives it 5, rank 1 of 5: above S2, rank 3, but strategy keeps what it holds: it replaces at most 0",
        ),
    ),
    "wanted without a bar": (
        *("S3", 0, {"strategy": wish(0.2, 0, 0, 0.2, 0), "feed": feed(missing=["S3@0"])}, "bar"),
        "it has no bar in this slice; it has had none since the session began",
    ),
    "below a lot": (
        *("S4", 0, {"strategy": wish(0, 0, 0, 0, 0.04), "feed": feed(lot=100)}, "rounding"),
        "the trade of 80 shares is less than a lot of 100",
    ),
    "below the least value": (
        *("S4", 0, {"strategy": wish(0.5, 0, 0, 0, 0.01), "optimizer": {"use": "direct", "min_order_value": 5000}}),
        *("rounding", "the trade of 20 shares, worth 1,000, is below the 5,000 of min_order_value or band"),
    ),
    "cash is short": (
        *("S4", 0, {"strategy": wish(1, 0, 0, 0, 0.5)}, "cash"),
        "cash is short: 1,000 shares are not bought; cash at hand is 100,000",
    ),
    "an infinite target": (
        "S4",
        0,
        {"strategy": wish(0.2, 0, 0, 0, 0.1, infinite=[4])},
        "target",
        "its target is infinite",
    ),
    "the gate": (
        *("S0", 0, {"risk": {"max_weight": 0.2}}, "gate"),
        "to buy 4,750: max_weight is 0.475 against a limit of 0.2",
    ),
    "trading is halted": (
        *("S0", 0, {"feed": feed(control="halt")}, "gate"),
        "to buy 4,750: trading is halted: halt at 2018-01-02T21:00:00Z by ann, a drill",
    ),
    "only reductions": (
        *("S0", 0, {"feed": feed(control="reduce_only")}, "gate"),
        "to buy 4,750: trading is reduce_only: reduce_only at 2018-01-02T21:00:00Z by ann, a drill",
    ),
    "the broker": (
        *("S0", 0, {"strategy": wish(-0.2, 0, 0, 0, 0)}, "broker"),
        "to sell 2,000: short is -2,000 against a limit of 0",
    ),
    "a limit that was not reached": (
        *("S0", 0, {"strategy": wish(0.2, 0, 0, 0, 0, limits=[9, 0, 0, 0, 0])}, "market"),
        "before anything of it filled; its limit of 9 was not reached: the bars went from 9.8 to 10.2",
    ),
    "an order that works already": (
        *(
            "S0",
            3,
            {
                "strategy": wish(0.2, 0, 0, 0, 0, limits=[9, 0, 0, 0, 0]),
                "optimizer": GTC,
            },
        ),
        *(
            "order",
            "works already for what is wanted: 2,000 shares of it have not filled; its limit of 9",
        ),
    ),
    "an order without a bar to the end": (
        *(
            "S0",
            6,
            {"feed": feed(missing=["S0@7"])} | {"strategy": wish(0.2, 0, 0, 0, 0, since=6), "optimizer": GTC},
            "market",
        ),
        "was sent, and nothing of it has filled to the end of the journal; the symbol had no bar while it was open",
    ),
    "no target yet": ("S0", 0, {"strategy": wish(0.2, 0, 0, 0, 0, since=3)}, "target", "has given no target yet"),
    "not positive": (
        *("S3", 2, {"strategy": {"use": "sign"}, "models": view(5, 4, 3, -2, 1)}, "rank"),
        "view gives it -2, rank 5 of 5: strategy holds what is above 0",
    ),
    "left alone": (
        "S2",
        1,
        {"strategy": wish(0.2, 0, 0, 0, 0, left_alone=[2])},
        "target",
        "strategy leaves it as it is (NaN)",
    ),
    "a fallback": (
        *("S0", 2, {"optimizer": MEAN_VARIANCE, "strategy": wish(0.2, 0.2, 0, 0, 0)}, "optimizer"),
        "the optimizer fell back: the risk model has too little history",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_first_reason_is_the_one_that_stopped_it(case: str, tmp_path: Path) -> None:
    symbol, at, changes, stage, text = CASES[case]
    doc = told(tmp_path, symbol, at, **changes)
    assert doc["slice"] == day(at)
    assert not doc["traded"]
    first = doc["reasons"][0]
    assert text in first["text"]
    assert first["stage"] == stage
    assert doc["answer"] == first["text"]


# ---- the optimizer ---------------------------------------------------------------------------------------------------


def solved(folder: Path, symbol: str, at: int, values: tuple[float, ...], **options: Any) -> dict[str, Any]:
    optimizer = MEAN_VARIANCE | options
    moving = feed(slices=16, drift=0.01)
    return told(folder, symbol, at, feed=moving, optimizer=optimizer, strategy=wish(*[0.19] * 5), models=view(*values))


def test_a_trade_that_is_not_worth_its_cost_says_what_it_would_gain(tmp_path: Path) -> None:
    views = (1e-3, 1e-3, 1e-3, 1e-3, 1e-4)
    doc = solved(tmp_path, "S4", 13, views, turnover_cost_bps=20.0, risk_aversion=50.0)
    assert "a trade is not worth its cost: one more unit of weight would gain" in doc["answer"]
    assert "a slice and costs 0.002" in doc["answer"]
    assert abs(doc["reasons"][0]["note"]["value"]) <= 0.002


def test_a_name_at_its_limit_gives_the_shadow_price_behind_what_stopped_it(tmp_path: Path) -> None:
    """max_weight leaves 500 shares to be bought, and a lot is 1,000: both are told, each with its number."""
    moving = feed(slices=16, drift=0.01, lot=1000)
    optimizer = MEAN_VARIANCE | {"max_weight": 0.05}
    doc = told(
        tmp_path, "S0", 14, feed=moving, optimizer=optimizer, strategy=wish(*[0.19] * 5), models=view(1, 0, 0, 0, 0)
    )
    assert "is less than a lot of 1,000" in doc["answer"]
    limit = doc["reasons"][1]
    assert "at max_weight 0.05: shadow price 0.9" in limit["text"]
    assert limit["note"]["value"] == pytest.approx(1.0, abs=0.05)  # an alpha of 1, less risk


def test_a_name_that_ought_to_be_short_says_so(tmp_path: Path) -> None:
    doc = solved(tmp_path, "S4", 13, (1e-2, 1e-2, 1e-2, 1e-2, -1e-2))
    assert "its best weight is 0: one unit less, a short position, would gain" in doc["answer"]


# ---- what was traded, and what is no question ------------------------------------------------------------------------


def test_what_was_traded_says_by_which_order(tmp_path: Path) -> None:
    doc = told(tmp_path, "S0", 0)
    assert doc["traded"]
    assert doc["reasons"] == []
    assert doc["answer"] == f"it was traded: order {doc['orders'][0]} to buy 4,750, filled from 2018-01-03T14:30:00Z on"
    assert explain_missing(open_recorded(tmp_path / "run"), "S0", str(day(1)))["filled"] == doc["orders"]


def test_a_time_between_two_slices_means_the_next_one(tmp_path: Path) -> None:
    run(config(), out=tmp_path / "run")
    of = open_recorded(tmp_path / "run")
    for text in ("2018-01-04", "2018-01-04T20:59:59", "2018-01-04T21:00:00Z", "2018-01-04T16:00:00-05:00", str(day(2))):
        assert explain_missing(of, "S3", text)["slice"] == day(2)


def test_what_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    run(config(), out=tmp_path / "run")
    of = open_recorded(tmp_path / "run")
    for symbol, time, said in (
        ("s0", "2018-01-04", "'s0' is not in the universe; expected one of: S0, S1, S2, S3, S4; did you mean 'S0'"),
        ("S0", "soon", "'soon' is no time; give a day as 2021-03-01"),
        ("S0", "2019-01-01", "the session runs from 2018-01-02T21:00:00Z to 2018-01-09T21:00:00Z"),
    ):
        with pytest.raises(ConfigError) as error:
            explain_missing(of, symbol, time)
        assert said in str(error.value)


def test_the_command_prints_the_answer_first_and_the_chain_below(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(config(), out=tmp_path / "run")
    where = ["--dir", str(tmp_path / "run")]
    assert main(["why-not", "S3", "2018-01-04", *where]) == 0
    text = capsys.readouterr().out
    assert text.startswith("S3 at 2018-01-04T21:00:00Z: view gives it 2, rank 4 of 5: below the cut-off")
    for step in ("bar ", "signal ", "target ", "position "):
        assert f"\n  {step}" in text
    assert main(["why-not", "S3", "2018-01-04", *where, "--format", "json"]) == 0
    doc = json.loads(capsys.readouterr().out)
    assert (doc["ok"], doc["symbol"], doc["reasons"][0]["cut_off_symbol"]) == (True, "S3", "S1")
    assert main(["why-not", "s3", "2018-01-04", *where]) == 2
    assert "did you mean" in capsys.readouterr().err
    assert main(["why-not", "S3", "2018-01-04", "--dir", str(tmp_path)]) == 3


@pytest.mark.parametrize("fill", ["next_open", "same_close"])
def test_every_symbol_of_every_slice_has_an_answer_that_agrees_with_the_fills(fill: str, tmp_path: Path) -> None:
    """It was traded where an order of the slice filled, or one filled in it; else there is a reason."""
    broker = {"use": "simulated", "fill": fill, "costs": {"commission_bps": 5}}
    holes = ["S0@2", "S1@3", "S1@4", "S3@5"]
    run(
        config(feed=feed(missing=holes), broker=broker, strategy=wish(0.2, 0.2, 0.0, 0.3, 0.5, since=1)),
        out=tmp_path / "run",
    )
    of = open_recorded(tmp_path / "run")
    sent: dict[int, tuple[int, int]] = {}
    traded: set[tuple[int, int]] = set()
    for entry in of.entries():
        event = entry.event
        if isinstance(event, Orders):
            sent |= {id_: (event.ts, s) for id_, s in zip(event.ids.tolist(), event.symbol.tolist(), strict=True)}
        if isinstance(event, Fills):
            for id_, s in zip(event.order_ids.tolist(), event.symbol.tolist(), strict=True):
                traded |= {sent[id_], (event.ts, s)}
    assert len(traded) > 4
    for s, symbol in enumerate(of.universe.symbols):
        for k in range(8):
            doc = explain_missing(of, symbol, str(day(k)))
            assert doc["traded"] == ((day(k), s) in traded), (symbol, k)
            assert doc["traded"] or doc["reasons"], (symbol, k)
            assert "left no note" not in doc["answer"]
            assert missing_text(doc).startswith(f"{symbol} at ")


def test_a_slice_whose_bars_are_not_there_any_more_is_a_slice_all_the_same(tmp_path: Path) -> None:
    symbols = [f"S{i}" for i in range(5)]
    text = "date,symbol,open,high,low,close,volume\n"
    for k in range(2, 12):
        text += "".join(f"2018-01-{k:02d},{name},10,11,9,10,1000000\n" for name in symbols)
    (tmp_path / "bars.csv").write_text(text)
    table = {"use": "csv", "path": str(tmp_path / "bars.csv"), "close": "16:00 America/New_York"}
    run(config(feed=table), out=tmp_path / "run")
    whole = explain_missing(open_recorded(tmp_path / "run"), "S3", "2018-01-05")
    assert whole["reasons"][0]["stage"] == "rank"

    def checked(why: str) -> None:
        doc = explain_missing(open_recorded(tmp_path / "run"), "S3", "2018-01-05")
        assert doc["slice"] == whole["slice"]
        assert doc["reasons"][0]["stage"] == "bar"
        assert "cannot be read again, so whether it had one is not known" in doc["answer"]
        assert why in doc["answer"]
        assert (doc["bar"], doc["signals"], doc["position"]) == ({}, whole["signals"], whole["position"])
        assert doc["reasons"][1]["stage"] == "rank"
        assert doc["reasons"][1]["rank"] == whole["reasons"][0]["rank"]
        assert "cannot be read again" in missing_text(doc)
        with pytest.raises(ConfigError, match="the session runs from 2018-01-02T21:00:00Z to 2018-01-11T21:00:00Z"):
            explain_missing(open_recorded(tmp_path / "run"), "S3", "2019-01-05")

    (tmp_path / "bars.csv").write_text(text.replace("2018-01-05,S1,10", "2018-01-05,S1,10.5"))
    checked("the files of the feed do not hold what was recorded of them")
    (tmp_path / "bars.csv").unlink()
    checked("bars.csv")
    (tmp_path / "run" / "run.yaml").write_text("schema: [")
    checked("its run.yaml cannot be read here")
