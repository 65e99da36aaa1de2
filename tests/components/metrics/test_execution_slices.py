"""Slices in which parents were worked, and how their children fared, worked out by hand."""

from typing import Any

import numpy as np
import pytest

from components.execution.immediate import Immediate
from components.execution.pov import Pov
from components.execution.twap import Twap
from components.metrics.execution import ExecutionFold
from engine.events import MINUTE_NS
from tests.components.execution.floor import Floor, minute, minutes, orders
from tests.components.metrics.test_execution import FOREVER, TWO
from tests.components.metrics.test_execution_bases import over_a_split


def fold_of(pace: Any, given: dict[int, Any], *, fill: Any = "next_open", participation: float | None = None) -> Any:
    """Bar k of A opens at 10 k, closes at 10 k + 5 and has its vwap at 10 k + 2; B stands at 20. 100 k shares trade."""
    floor = Floor(pace, TWO, fill=fill, participation=participation)
    options: Any = {"point": "open" if fill == "next_open" else "own_close"}
    window = lambda ts: (pace.horizon, FOREVER)  # noqa: E731
    fold = ExecutionFold(universe=TWO, interval_ns=MINUTE_NS, window=window, **options)
    for k in range(1, 8):
        columns = {"open": [10.0 * k, 20.0], "vwap": [10.0 * k + 2, 20.0], "volume": [100.0 * k, 100.0]}
        event = minutes(k, [10.0 * k + 5, 20.0], low=[10.0 * k, 20.0], **columns)
        one = (given[k],) if k in given else ()
        fold.append((), [event, *one])
        fold.append((), floor.slice(event, *one))
    return fold


def test_a_slice_in_which_parents_were_worked_is_a_row() -> None:
    """30 A and -9 B over three slices, from the first bar on; 10 A more in one slice, from the fifth on."""
    found = fold_of(Twap(horizon=3), {1: orders(1, [30.0, -9.0]), 5: orders(5, [9.0], first=8)}).slices()
    assert found["ts"].tolist() == [minute(k) for k in (1, 2, 3, 5, 6, 7)]
    assert found["parents"].tolist() == [2, 2, 2, 1, 1, 1]
    assert found["decided"].tolist() == [2, 0, 0, 1, 0, 0]
    assert found["asked"].tolist() == [39.0, 26.0, 13.0, 9.0, 6.0, 3.0]  # left to be filled
    assert found["children"].tolist() == [2, 2, 2, 1, 1, 1]
    assert found["sent"].tolist() == [13.0, 13.0, 13.0, 3.0, 3.0, 3.0]
    assert found["filled"].tolist() == [13.0, 13.0, 13.0, 3.0, 3.0, 0.0]  # the last has no bar behind it
    np.testing.assert_allclose(found["value"], [10 * 20 + 60, 10 * 30 + 60, 10 * 40 + 60, 3 * 60, 3 * 70, 0.0])
    np.testing.assert_allclose(found["fill_ratio_by_orders"], [1, 1, 1, 1, 1, 0])


def test_children_are_measured_by_the_bar_they_trade_in() -> None:
    found = fold_of(Twap(horizon=3), {1: orders(1, [30.0, -9.0])}).slices()
    to_vwap, late = -(20 / 22 - 1) * 1e4, (20 / 15 - 1) * 1e4  # A, of the first slice; B has neither
    np.testing.assert_allclose(found["pa_price_bps_by_orders"], [0.0] * 3, atol=1e-9)
    assert found["pa_vwap_bps_by_orders"][0] == pytest.approx(to_vwap / 2)
    assert found["pa_vwap_bps_by_shares"][0] == pytest.approx(to_vwap * 10 / 13)
    assert found["pa_vwap_bps_by_value"][0] == pytest.approx(to_vwap * 200 / 260)
    assert found["arrival_bps_by_shares"][0] == pytest.approx(late * 10 / 13)
    assert found["arrival_bps_by_orders"][2] == pytest.approx((40 / 15 - 1) * 1e4 / 2)  # against the decision still
    assert found["pos_vwap_by_orders"].tolist() == [0.5] * 3
    assert found["pos_price_by_orders"].tolist() == [0.0] * 3


def test_at_its_own_close_a_child_is_measured_by_the_bar_it_is_sent_in() -> None:
    found = fold_of(Immediate(horizon=1), {2: orders(2, [30.0])}, fill="same_close").slices()
    assert (found["ts"].tolist(), found["filled"].tolist(), found["value"].tolist()) == ([minute(2)], [30.0], [750.0])
    assert found["pa_price_bps_by_orders"].tolist() == [0.0]
    assert found["pa_vwap_bps_by_orders"][0] == pytest.approx(-(25 / 22 - 1) * 1e4)


def test_the_fill_ratio_of_a_slice_is_of_what_was_sent_in_it() -> None:
    """The bars take a tenth of 200, 300, 400 and 500 shares."""
    found = fold_of(Immediate(horizon=4), {1: orders(1, [100.0])}, participation=0.1).slices()
    assert found["asked"].tolist() == found["sent"].tolist() == [100.0, 80.0, 50.0, 10.0]
    assert found["filled"].tolist() == [20.0, 30.0, 40.0, 10.0]
    np.testing.assert_allclose(found["fill_ratio_by_shares"], [0.2, 30 / 80, 0.8, 1.0])


def test_a_slice_in_which_nothing_was_sent_is_a_row_without_figures() -> None:
    found = fold_of(Pov(universe=TWO, horizon=3, rate=1e-6), {1: orders(1, [100.0])}).slices()
    assert (found["parents"].tolist(), found["children"].tolist(), found["sent"].tolist()) == (
        [1, 1, 1],
        [0, 0, 0],
        [0.0] * 3,
    )
    assert np.isnan(found["fill_ratio_by_shares"]).all()
    assert np.isnan(found["pa_price_bps_by_value"]).all()


def test_all_slices_together_are_the_sums_of_the_rows() -> None:
    fold = fold_of(Twap(horizon=3), {1: orders(1, [30.0, -9.0]), 5: orders(5, [9.0], first=8)}, participation=0.02)
    rows, found = fold.slices(), fold.figures()["slices"]
    assert (found["slices"], found["children"]) == (len(rows["ts"]), rows["children"].sum())
    for name in ("sent", "filled", "value"):
        assert found[name] == pytest.approx(rows[name].sum())
    assert found["fill_ratio"]["shares"] == pytest.approx(rows["filled"].sum() / rows["sent"].sum())
    assert fold.table()["filled"].tolist() == pytest.approx([9.0, -6.0, 9.0], abs=9.0)
    assert np.abs(fold.table()["filled"]).sum() == pytest.approx(found["filled"])  # parents and children agree
    assert fold.table()["value"].sum() == pytest.approx(found["value"])


@pytest.mark.parametrize("behind", [1, 2, 3, 4])
def test_a_split_changes_no_figure_of_a_slice(behind: int) -> None:
    """Shares are those of the day the child ended; one that is in the market over the split is as many more."""
    found, plain = (over_a_split(Twap(horizon=5), at).slices() for at in (behind, None))
    for name in [name for name in plain if "_by_" in name or name in ("value", "parents", "children")]:
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-12, err_msg=name)
    assert found["sent"].tolist() == [6.0] * (behind - 1) + [18.0] * (6 - behind)


def test_figures_do_not_depend_on_how_many_children_are_summed_up_at_once(monkeypatch: Any) -> None:
    given = {1: orders(1, [30.0, -9.0]), 5: orders(5, [9.0], first=8)}
    whole = fold_of(Twap(horizon=3), given).slices()
    monkeypatch.setattr("components.metrics.execution_slices._BLOCK", 1)
    for name, column in fold_of(Twap(horizon=3), given).slices().items():
        np.testing.assert_allclose(column, whole[name], rtol=1e-13, err_msg=name)
