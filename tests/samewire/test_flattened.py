"""A session that is flattened is flat as soon as its market trades, whatever its strategy goes on wanting."""

from pathlib import Path
from typing import Any

import pytest

from adapters.files.journal_file import read_journal
from engine.events import Book
from samewire import run
from tests.make import day
from tests.samewire.scripted import config, feed

AT = 5  # slice of the operator's `flatten`


@pytest.mark.parametrize("execution", [{}, {"execution": {"use": "twap", "horizon": 3, "span_days": True}}])
def test_a_standing_target_does_not_call_back_what_closes_its_position(
    tmp_path: Path, execution: dict[str, Any]
) -> None:
    changes: dict[str, Any] = {
        "feed": feed(slices=10, control="flatten", control_at=AT),
        "models": [{"name": "view", "use": "tests.samewire.scripted:Turns", "values": [3, 2, 1, -1, -2], "every": 99}],
        "strategy": {"use": "topk_dropout", "topk": 2, "n_drop": 1},
        "optimizer": "direct",
        "broker": {"use": "simulated", "fill": "next_open", "costs": {"commission_bps": 0}},
    }
    run(config(**changes | execution), out=tmp_path / "run")
    books = [entry.event for entry in read_journal(tmp_path / "run" / "journal") if isinstance(entry.event, Book)]
    held = {each.ts: bool(each.qty.any()) for each in books}
    assert [held[day(k)] for k in (AT, AT + 1, AT + 2)] == [True, False, False]
