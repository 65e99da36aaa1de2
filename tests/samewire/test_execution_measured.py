"""What whole sessions say of how their parents fared."""

from pathlib import Path
from typing import Any

import pytest

from samewire import run
from tests.samewire.scripted import config, feed, wish

FREE = {"use": "simulated", "costs": {"commission_bps": 0, "slippage_bps": 0}}


def told(folder: Path, execution: dict[str, Any], **changes: Any) -> Any:
    once = wish(0.4, 0.2, 0, 0, 0) | {"schedule": {"use": "every", "slices": 20}}
    made = {"strategy": once, "feed": feed(slices=10, drift=0.01), "execution": execution}
    return run(config(**made | changes), out=folder / "run")


@pytest.mark.parametrize(
    "broker",
    [
        {"fill": "same_close"},
        {"fill": "same_close", "when_closed": "next_open"},  # bars of a day: what is sent meets the next open
        {"fill": "next_open"},
        {"fill": "next_close"},
    ],
)
def test_even_paces_have_no_advantage_to_the_bars_they_trade_in(tmp_path: Path, broker: dict[str, Any]) -> None:
    execution = {"use": "twap", "horizon": 4, "span_days": True}
    lots = feed(slices=10, drift=0.01, lot=0.001)
    found = told(tmp_path, execution, broker=FREE | broker, feed=lots).summary["execution"]
    assert found["finished"] == 2
    assert found["pa_twap_bps"]["orders"] == pytest.approx(0.0, abs=1e-2)


def test_orders_that_trade_at_their_own_close_are_measured_by_it(tmp_path: Path) -> None:
    found = told(tmp_path, {"use": "immediate"}, broker=FREE | {"fill": "same_close"}).summary["execution"]
    assert found["pa_twap_bps"]["orders"] == pytest.approx(0.0, abs=1e-9)
    assert found["arrival_bps"]["orders"] == pytest.approx(0.0, abs=1e-9)


def test_a_session_tells_of_every_slice_in_which_it_worked_parents(tmp_path: Path) -> None:
    result = told(tmp_path, {"use": "twap", "horizon": 4, "span_days": True}, broker=FREE | {"fill": "next_open"})
    rows, parents = (result.table(name).to_pandas() for name in ("execution_slices", "execution"))
    assert rows["parents"].tolist() == [2] * 4
    assert rows["decided"].tolist() == [2, 0, 0, 0]
    assert rows["filled"].sum() == parents["filled"].abs().sum() > 0
    assert rows["value"].sum() == pytest.approx(parents["value"].sum())
    assert rows["pa_price_bps_by_orders"].tolist() == pytest.approx([0.0] * 4, abs=1e-9)  # fills at the open, free
    assert result.table("execution_decisions").num_rows == 1
    assert result.summary["execution"]["slices"]["children"] == 8
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Execution, slice by slice" in page
    assert "8 children sent in 4 slices" in page


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(
    "wanted", [wish(0.4, 0.2, 0, 0, 0), wish(0, 0, 0, 0, 0), wish(0.4, 0, 0, 0, 0, limits=[9, 0, 0, 0, 0])]
)
def test_a_session_in_which_nothing_was_worked_ends_like_any_other(
    tmp_path: Path, wanted: dict[str, Any], kept: bool
) -> None:
    """The optimizer finds all too small, nothing is wanted, or only at a limit price, which passes on as it is."""
    least = {"use": "direct", "min_order_value": 0 if wanted.get("limits") else 1e9}
    whole = config(strategy=wanted, optimizer=least, execution={"use": "twap", "horizon": 4, "span_days": True})
    result = run(whole, out=tmp_path / "run" if kept else None)
    found = result.summary["execution"]
    assert (found["orders"], found["slices"]["slices"], found["slices"]["children"]) == (0, 0, 0)
    assert found["fill_ratio"] == found["slices"]["fill_ratio"] == dict.fromkeys(("orders", "shares", "value"))
    worked = run(
        whole | {"strategy": wish(0.4, 0.2, 0, 0, 0), "optimizer": "direct"}, out=tmp_path / "b" if kept else None
    )
    for name in ("execution", "execution_decisions", "execution_slices"):
        assert result.table(name).num_rows == 0
        assert result.table(name).schema == worked.table(name).schema
    if kept:
        assert "children sent" not in (tmp_path / "run" / "report.html").read_text()
