"""What docs/risk.md says of the limits is what they are, and its example is computed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from components.gates.limits import Limits
from components.gates.losses import Losses
from components.gates.rules import LIMITS
from engine.events import Mode, OrderKind, Reference, Refusals
from engine.ids import OrderIds
from engine.latches import MODES
from engine.universe import universe_of
from samewire.signatures import schema_of
from tests.make import bars, book, day, legs

PAGE = (Path(__file__).parent.parent.parent.parent / "docs" / "risk.md").read_text()
(RUN,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
NAMES, MARK = ("AAA", "BBB", "CCC", "DDD"), [200.0, 300.0, 50.0, 20.0]


def table(title: str) -> list[list[str]]:
    """The rows of the first table below a title."""
    part = PAGE.split(f"## {title}\n")[1]
    rows = part.split("\n|---")[1].split("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def test_the_table_has_every_limit_in_its_order_and_says_which_spare_exits() -> None:
    rows = table("The limits")
    assert [row[0] for row in rows] == [f"`{limit.name}`" for limit in LIMITS]
    assert [row[3].startswith("yes") for row in rows] == [limit.spares_exits for limit in LIMITS]


def test_every_option_is_shown() -> None:
    shown = yaml.safe_load(RUN)["risk"]
    options = set(schema_of(Limits, "gates").keys)
    assert set(shown) == options - {"restricted", "banned"}
    assert all(f"`{name}" in PAGE for name in options)


def test_what_each_latch_asks_for_is_a_row_with_its_mode() -> None:
    rows = table("What halts a session")
    assert {row[0]: row[1] for row in rows} == {f"`{action}`": f"`{mode.name}`" for action, mode in MODES.items()}
    codes = {f"`{mode.name.lower()}`": int(mode) for mode in (Mode.REDUCE_ONLY, Mode.HALTED)}
    assert codes == {"`reduce_only`": 1, "`halted`": 2}


def account() -> Limits:
    options = yaml.safe_load(RUN)["risk"]
    options |= {"max_weight": 0.4, "max_sector_gross": 0.6, "max_order_qty": 4_000, "restricted": ("DDD",)}
    gate = Limits(universe=universe_of(NAMES), ids=OrderIds("page", "risk"), name="risk", **options)
    gate.on_reference(Reference(ts=day(0), name="sectors", rows="symbol", value=np.array([[0.0], [0.0], [1.0], [1.0]])))
    gate.on_bars(bars(day(0), MARK, volume=[100_000.0] * 4))
    gate.on_book(book(day(0), MARK, cash=500_000.0, qty=[1_000, 1_000, 0, 0]))
    return gate


def number(text: str) -> float:
    return float(text.replace(",", ""))


@pytest.mark.parametrize("row", table("An account and what it is refused"), ids=lambda row: row[0])
def test_the_example_is_computed(row: list[str]) -> None:
    orders, rule, value, threshold = row
    symbol, qty, limit = [], [], []
    side = 1.0
    for part in orders.split(", then "):
        found = re.fullmatch(r"(?:(buy|sell) )?([\d,]+) (\w+)(?: at ([\d.]+))?", part)
        assert found is not None, part
        side = {"buy": 1.0, "sell": -1.0}.get(found[1], side)
        symbol.append(NAMES.index(found[3]))
        qty.append(side * number(found[2]))
        limit.append(float(found[4]) if found[4] else np.nan)
    kind = np.where(np.isnan(limit), OrderKind.MARKET, OrderKind.LIMIT).astype(np.int32)
    sent: Any = legs(ts=day(0), symbol=symbol, qty=qty, kind=kind, limit=np.array(limit))
    refused = [event for event in account().on_orders(sent) if isinstance(event, Refusals)]
    if rule == "-":
        assert refused == []
    else:
        (refusal,) = refused
        assert refusal.rule == (rule.strip("`"),)
        assert float(f"{refusal.value[0]:.6g}") == number(value)
        assert refusal.threshold[0] == number(threshold)


def test_the_figures_of_the_loss_are_computed() -> None:
    assert "With a limit of 0.05, equity of 1,000,000 on the evening before and 949,000 now, 0.051 of it" in PAGE
    losses = Losses(max_daily_loss=0.05, max_drawdown=None)
    assert losses.on_book(book(day(0), MARK, cash=1_000_000.0), 1.0) == []
    (loss,) = losses.on_book(book(day(1), MARK, cash=949_000.0), 1.0)
    assert (loss.name, round(loss.value, 9)) == ("max_daily_loss", 0.051)
