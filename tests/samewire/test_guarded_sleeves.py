"""Filters and rules around strategies inside sleeves and blends."""

from typing import Any

import pytest

from engine.events import Book, Note
from samewire import load_run
from samewire.schema import config_hash, dump_run
from tests.samewire.test_strategies import SLEEVES, TOP, a_run, events_of

STOP, TAKE = {"use": "stop_loss", "loss": 0.03}, {"use": "take_profit", "gain": 0.05}
GUARDED = TOP | {"signal": "trend", "rules": [STOP], "filters": [{"use": "price", "minimum": 20}]}
INSIDE = SLEEVES | {"strategies": [GUARDED, SLEEVES["strategies"][1] | {"rules": [TAKE]}]}


async def test_a_stop_loss_of_one_sleeve_looks_at_the_costs_of_that_sleeve() -> None:
    events = await events_of(a_run(INSIDE))
    books = {event.ts: event for event in events if isinstance(event, Book)}
    kinds: dict[str, int] = {}
    total: dict[int, float] = {}
    for event in events:
        if isinstance(event, Note) and event.source == "strategy":
            kinds[event.kind] = kinds.get(event.kind, 0) + 1
            if event.kind == "sleeve":
                total[event.ts] = total.get(event.ts, 0.0) + float(event.value[0])
    assert kinds["rule:stop_loss@core"] > 10
    assert kinds["rule:take_profit@pairs"] > 10
    assert all(equity == pytest.approx(books[ts].equity, rel=1e-9) for ts, equity in total.items())
    texts = [event.text for event in events if isinstance(event, Note) and event.kind == "rule:stop_loss@core"]
    assert all(text.startswith("core: ") for text in texts)


async def test_filters_around_a_blend_hide_names_from_what_is_inside() -> None:
    blend: dict[str, Any] = {"use": "blend_signals", "strategy": TOP, "filters": [{"use": "price", "minimum": 60}]}
    within: dict[str, Any] = {"use": "blend_signals", "strategy": TOP | {"filters": [{"use": "price", "minimum": 60}]}}
    for strategy, kind in ((blend, "filter:price"), (within, "filter:price@strategy")):
        events = await events_of(a_run(strategy))
        notes = [event for event in events if isinstance(event, Note) and event.kind == kind]
        assert notes
        assert {note.source for note in notes} == {"strategy"}


def test_guards_inside_are_written_out_and_read_again(tmp_path: Any) -> None:
    loaded = load_run(a_run(INSIDE))
    path = tmp_path / "run.yaml"
    path.write_text(dump_run(loaded))
    assert config_hash(load_run(path)) == config_hash(loaded)
