"""How an order came about: the whole chain, from real sessions."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.files.journal_file import read_journal
from components.features.rolling import Rolling
from engine.errors import ComponentError, ConfigError
from engine.events import Bars, Features, Fills, LegAction, Orders, Signal
from engine.ids import id_text
from samewire import open_session, run
from samewire.cli import main
from samewire.explain.lines import order_text, plain
from samewire.explain.missing import explain_missing
from samewire.explain.orders import explain_order
from samewire.recorded import open_recorded
from tests.make import day
from tests.samewire.scripted import Script, config, feed, view, wish

SAMPLE = {
    "schema": 1,
    "session": {"name": "sample", "cash": 1_000_000, "start": "2018-01-02", "end": "2018-02-15"},
    "feed": {"use": "sample"},
    "features": [{"use": "rolling", "windows": [3, 5]}],
    "models": [{"name": "mine", "use": "tests.samewire.scripted:FromFeatures", "features": "rolling"}],
    "strategy": {"use": "topk_dropout", "topk": 5, "n_drop": 1},
    "optimizer": {"use": "direct"},
    "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5, "slippage_bps": 10}},
}


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("why") / "run"
    run(SAMPLE, out=folder)
    return folder


def orders(folder: Path) -> list[tuple[int, int, int, float]]:
    """(ts, id, symbol, quantity) of every leg that the optimizer sent."""
    found = []
    for entry in read_journal(folder / "journal"):
        if isinstance(entry.event, Orders):
            columns = (entry.event.ids, entry.event.symbol, entry.event.qty)
            found += [(entry.event.ts, *row) for row in zip(*(c.tolist() for c in columns), strict=True)]
    return found


def test_every_order_of_a_session_is_explained_by_its_own_events(sample: Path) -> None:
    """Signal, rank, target, fills: each compared with the journal, found there in another way."""
    signals = {e.event.ts: e.event for e in read_journal(sample / "journal") if isinstance(e.event, Signal)}
    fills: dict[int, list[tuple[float, float]]] = {}
    for entry in read_journal(sample / "journal"):
        if isinstance(entry.event, Fills):
            for id_, qty, price in zip(entry.event.order_ids.tolist(), entry.event.qty, entry.event.price, strict=True):
                fills.setdefault(id_, []).append((float(qty), float(price)))
    of = open_recorded(sample)
    for ts, id_, symbol, qty in orders(sample)[::7]:
        doc = explain_order(of, id_text(id_))
        value = signals[ts].value
        assert doc["symbol"] == of.universe.symbols[symbol]
        assert (doc["decided"]["ts"], doc["bar"]["ts"]) == (ts, ts)
        (signal,) = doc["signals"]
        assert signal["value"] == value[symbol]
        assert signal["rank"] == int((value > value[symbol]).sum()) + 1
        assert signal["model_hash"] == "ab" * 16
        change = doc["optimizer"]["wanted"] - doc["position"]["qty"] - doc["position"]["working"]
        assert 0 <= abs(change) - abs(qty) < 1.0 + 1e-9 or doc["optimizer"]["notes"]  # lots, or cash
        (order,) = doc["orders"]
        assert [(f["qty"], f["price"]) for f in order["events"] if f["what"] == "fill"] == fills.get(id_, [])
        assert [leg["event"] for leg in order["legs"]] == ["orders", "approved"]


def test_features_are_computed_again_to_the_last_bit(sample: Path) -> None:
    of = open_recorded(sample)
    session = open_session(SAMPLE)
    rolling = Rolling(universe=session.feed.universe, windows=(3, 5))
    known: dict[int, Features] = {}
    for event in session.feed.events():
        if isinstance(event, Bars):
            known[event.ts] = rolling.on_bars(event)
    ts, id_, symbol, _ = orders(sample)[-1]
    (found,) = explain_order(of, id_text(id_))["features"]
    assert found["set"] == "rolling"
    assert [feature["name"] for feature in found["values"]] == list(rolling.names)
    np.testing.assert_array_equal([feature["value"] for feature in found["values"]], known[ts].value[symbol])


def test_features_that_look_back_before_the_journal_are_not_invented(tmp_path: Path) -> None:
    later = SAMPLE | {"session": SAMPLE["session"] | {"start": "2018-03-01", "end": "2018-03-20"}}  # type: ignore[operator]
    run(later, out=tmp_path / "run")
    ts, id_, *_ = orders(tmp_path / "run")[0]
    (found,) = explain_order(open_recorded(tmp_path / "run"), id_text(id_))["features"]
    assert found["values"] == []
    assert found["unknown"].startswith("it looks back 6 slices, of which 1 in the journal")


def test_without_the_run_file_the_chain_is_told_and_the_features_are_said_to_be_missing(
    sample: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    copy.symlink_to(sample)
    other = tmp_path / "bare"
    other.mkdir()
    for name in ("manifest.json", "journal"):
        (other / name).symlink_to(sample / name)
    _, id_, *_ = orders(sample)[0]
    doc = explain_order(open_recorded(other), id_text(id_))
    assert doc["features"] == [{"set": "", "values": [], "unknown": "the session directory has no run.yaml"}]
    (other / "run.yaml").write_text((sample / "run.yaml").read_text().replace("scripted:FromFeatures", "scripted:Gone"))
    (features,) = explain_order(open_recorded(other), id_text(id_))["features"]
    assert "run.yaml cannot be read here" in features["unknown"]


def test_a_fill_says_price_reference_slippage_fees_and_participation(sample: Path) -> None:
    _, id_, symbol, qty = orders(sample)[0]
    doc = explain_order(open_recorded(sample), id_text(id_))
    (fill,) = [event for event in doc["orders"][0]["events"] if event["what"] == "fill"]
    slices = [e.event for e in open_recorded(sample).entries() if isinstance(e.event, Bars)]
    bar = next(b for b in slices if b.ts == fill["ts"])
    assert fill["reference"] == bar.open[symbol]
    assert fill["price"] == pytest.approx(bar.open[symbol] * 1.001)
    assert fill["slippage_bps"] == pytest.approx(10.0)
    assert fill["slippage"] == pytest.approx(abs(qty) * bar.open[symbol] * 0.001)
    assert fill["fees"] == pytest.approx(abs(qty) * fill["price"] * 5e-4)
    assert fill["participation"] == abs(qty) / bar.volume[symbol]


# ---- other endings ---------------------------------------------------------------------------------------------------


def chain(folder: Path, symbol: int = 0, leg: int = 0, **changes: Any) -> dict[str, Any]:
    """The chain of the n-th order leg of a symbol."""
    run(config(**changes), out=folder / "run")
    mine = [order for order in orders(folder / "run") if order[2] == symbol]
    return explain_order(open_recorded(folder / "run"), id_text(mine[leg][1]))


def test_a_refusal_gives_rule_value_and_threshold(tmp_path: Path) -> None:
    doc = chain(tmp_path, risk={"max_weight": 0.2})
    (order,) = doc["orders"]
    assert order["state"] == "refused"
    (refused,) = order["events"]
    assert (refused["by"], refused["rule"], refused["value"], refused["threshold"]) == (
        "risk",
        "max_weight",
        0.475,
        0.2,
    )
    assert "risk refused it: max_weight is 0.475 against a limit of 0.2" in order_text(doc)


def test_partial_fills_are_told_one_by_one_with_what_is_left(tmp_path: Path) -> None:
    broker = {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}, "participation": 0.001}
    optimizer = {"use": "direct", "time_in_force": "gtc"}
    doc = chain(tmp_path, broker=broker, optimizer=optimizer)
    (order,) = doc["orders"]
    fills = [event for event in order["events"] if event["what"] == "fill"]
    assert [fill["qty"] for fill in fills] == [1000, 1000, 1000, 1000, 750]
    assert fills[0]["participation"] == 0.001
    assert (order["state"], order["filled"], order["left"]) == ("finished", 4750, 0)


def test_a_cancel_and_the_order_it_speaks_of_are_told_together(tmp_path: Path) -> None:
    """A limit order of a name that stops being wanted is cancelled."""
    limits = [9.0, 0, 0, 0, 0]
    doc = chain(
        tmp_path,
        strategy=wish(0.2, 0, 0, 0, 0, limits=limits, drop_at=3),
        optimizer={"use": "direct", "time_in_force": "gtc"},
    )
    first, second = doc["orders"]
    assert (first["legs"][0]["action"], second["legs"][0]["action"]) == ("new", "cancel")
    assert second["legs"][0]["ref"] == first["id"] == doc["order"]
    assert first["state"] == "cancelled"
    text = order_text(doc)
    assert f"cancels order {first['id']} of S0" in text
    assert "cancelled, 0 shares filled" in text


def test_a_solved_weight_and_what_bound_it_stand_between_target_and_order(tmp_path: Path) -> None:
    optimizer = {
        "use": "mean_variance",
        "risk_model": {"use": "ledoit_wolf", "window": 20, "min_slices": 10},
        "alpha": "raw",
        "max_weight": 0.05,
    }
    moving = feed(slices=16, drift=0.01)
    doc = chain(tmp_path, feed=moving, optimizer=optimizer, strategy=wish(*[0.19] * 5), models=view(1, 0, 0, 0, 0))
    made = doc["optimizer"]
    assert made["weight"] == pytest.approx(0.05, abs=1e-6)
    assert made["wanted"] * doc["position"]["unit"] == pytest.approx(0.05 * 100_000, rel=1e-3)
    kinds = {note["kind"]: note["value"] for note in made["notes"]}
    assert kinds["binds:max_weight"] == pytest.approx(1.0, abs=0.05)
    text = order_text(doc)
    assert re.search(r"\n  binds +at max_weight 0.05: shadow price 0.9", text)
    assert re.search(r"\n  rounding +\d+\.\d+ shares wanted, \d+ ordered\n", text)


def test_purchases_cut_to_cash_say_so(tmp_path: Path) -> None:
    doc = chain(tmp_path, strategy=wish(1, 0, 0, 0, 0))
    assert "cash is short: 104 shares wanted are not bought" in order_text(doc)


def test_an_order_of_the_gate_itself_names_the_control_behind_it(tmp_path: Path) -> None:
    """flatten closes positions with orders that no optimizer sent."""
    run(config(feed=feed(control="flatten", control_at=4)), out=tmp_path / "run")
    sent = [order[1] for order in orders(tmp_path / "run")]
    approved = [
        int(id_)
        for entry in read_journal(tmp_path / "run" / "journal")
        if type(entry.event).__name__ == "Approved" and entry.event is not None
        for id_, action in zip(entry.event.ids, entry.event.action, strict=True)  # type: ignore[union-attr]
        if action == LegAction.NEW
    ]
    own = next(id_ for id_ in approved if id_ not in sent)
    doc = explain_order(open_recorded(tmp_path / "run"), id_text(own))
    assert doc["decided"]["by"] == "risk"
    assert doc["control"]["action"] == "flatten"
    text = order_text(doc)
    assert "flatten at 2018-01-06T21:00:00Z by ann: a drill" in text
    assert "risk sent it by itself; no strategy or optimizer asked for it" in text
    for link in ("optimizer  ", "rounding", "binds"):
        assert link not in text


def test_children_and_their_parent_are_told_together_and_decided_where_the_parent_was(tmp_path: Path) -> None:
    halves = {"use": "tests.samewire.scripted:Halves"}
    doc = chain(tmp_path, execution=halves)
    parent, first, second = doc["orders"]
    assert parent["id"] == doc["order"]
    assert [leg["parent"] for child in (first, second) for leg in child["legs"][:1]] == [parent["id"]] * 2
    assert (first["legs"][0]["ts"], second["legs"][0]["ts"]) == (day(0), day(1))
    assert (first["filled"], second["filled"]) == (2375, 2375)
    child = explain_order(open_recorded(tmp_path / "run"), second["id"])
    assert child["decided"]["ts"] == day(0)  # the child was sent later: what it was sent for is the parent's slice
    assert plain(child["targets"]) == plain(doc["targets"])
    text = order_text(child)
    assert text.startswith(f"Order {second['id']}: buy 2,375 S0")
    assert f"by execution for order {parent['id']}: buy 2,375 S0" in text
    assert "sent to the execution policy" in text
    missing = explain_missing(open_recorded(tmp_path / "run"), "S0", str(day(0)))
    assert missing["traded"]
    assert missing["reasons"] == []


def test_an_order_of_the_broker_itself_is_told_as_one(tmp_path: Path) -> None:
    """A margin call: the liquidation has an id that no order of the session had."""
    margin = {"short": True, "leverage": 2, "maintenance": 0.4}
    broker = {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 5}} | margin
    run(config(feed=feed(crash_at=3), strategy=wish(1.9, 0, 0, 0, 0), broker=broker), out=tmp_path / "run")
    sent = {order[1] for order in orders(tmp_path / "run")}
    filled = {
        int(id_)
        for entry in read_journal(tmp_path / "run" / "journal")
        if isinstance(entry.event, Fills)
        for id_ in entry.event.order_ids
    }
    (own, *_) = sorted(filled - sent)
    doc = explain_order(open_recorded(tmp_path / "run"), id_text(own))
    assert doc["decided"]["by"] == "broker"
    text = order_text(doc)
    assert text.startswith(f"Order {id_text(own)}: S0, sent by the broker itself\n")
    assert "sent by the broker itself, such as a liquidation" in text
    assert re.search(r"\n  fill +\d", text)


# ---- asking ----------------------------------------------------------------------------------------------------------


def test_a_unique_beginning_of_an_id_is_enough(sample: Path) -> None:
    ids = sorted({id_text(order[1]) for order in orders(sample)})
    own = ids[3]
    short = next(own[:k] for k in range(1, 17) if sum(each.startswith(own[:k]) for each in ids) == 1)
    assert explain_order(open_recorded(sample), short.upper())["order"] == own


def test_an_id_that_is_none_or_not_there_or_not_the_only_one_is_told(sample: Path) -> None:
    of = open_recorded(sample)
    ids = sorted({id_text(order[1]) for order in orders(sample)})
    digit = next(d for d in "0123456789abcdef" if sum(each.startswith(d) for each in ids) > 1)
    many = sum(each.startswith(digit) for each in ids)
    absent = next(f"{k:04x}" for k in range(65536) if not any(each.startswith(f"{k:04x}") for each in ids))
    for text, said in (
        ("order-7", "'order-7' is no order id; give its 16 hexadecimal digits"),
        ("0" * 17, "is no order id"),
        ("", "is no order id"),
        (digit, f"{digit} is the beginning of {many} orders; one of: "),
        (absent, f"is called {absent}; the nearest: "),
    ):
        with pytest.raises(ConfigError) as error:
            explain_order(of, text)
        assert said in str(error.value)


def test_a_session_without_orders_points_to_why_not(tmp_path: Path) -> None:
    run(config(strategy=wish(0, 0, 0, 0, 0)), out=tmp_path / "run")
    with pytest.raises(ConfigError, match="has no order at all; `samewire why-not SYMBOL TIME` says why"):
        explain_order(open_recorded(tmp_path / "run"), "00")


def test_the_command_tells_the_chain_in_order(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    id_ = id_text(orders(sample)[0][1])
    assert main(["why", id_, "--dir", str(sample)]) == 0
    text = capsys.readouterr().out
    steps = ("bar ", "features ", "signal ", "target ", "position ", "order ", "gate ", "report ", "fill ", "end ")
    places = [text.index(f"\n  {step}") for step in steps]
    assert places == sorted(places)
    assert main(["why", id_, "--dir", str(sample), "--format", "json"]) == 0
    doc = json.loads(capsys.readouterr().out)
    assert (doc["ok"], doc["order"], doc["orders"][0]["state"]) == (True, id_, "finished")
    assert main(["why", "zz", "--dir", str(sample)]) == 2
    assert main(["why", id_, "--dir", "nowhere"]) == 3


def test_the_script_is_the_market_that_the_tests_speak_of() -> None:
    bars = Script(missing=("S3@4",)).slice(4)
    assert (bars.ts, bars.close[0], np.isnan(bars.close[3])) == (day(4), 10.0, True)


def test_an_order_of_which_a_part_filled_and_the_rest_was_refused_says_both(tmp_path: Path) -> None:
    doc = chain(tmp_path, broker={"use": "tests.samewire.scripted:FillsAPart", "costs": {"commission_bps": 0}})
    (order,) = doc["orders"]
    assert (order["state"], order["filled"], order["left"]) == ("refused", 100, 0)
    refused = next(event for event in order["events"] if event["what"] == "refused")
    assert refused["qty"] == 4650
    end = next(line for line in order_text(doc).splitlines() if line.startswith("  end"))
    assert end.endswith(
        "100 shares filled, the rest, 4,650 shares, refused by broker: borrow is 4,650 against a limit of 0"
    )


def test_a_fill_from_outside_ends_the_session(tmp_path: Path) -> None:
    with pytest.raises(ComponentError, match="a source said Fills, which does not come from outside"):
        run(config(feed={"use": "tests.samewire.scripted:FromOutside"}), out=tmp_path / "run")
