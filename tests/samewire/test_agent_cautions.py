"""A session that is unlike what its agent learned under is warned of."""

from pathlib import Path
from typing import Any

import msgspec

from components.models.artefact import write_artefact
from components.rl.acting import Categorical
from components.rl.generated import GeneratedDays
from components.rl.observing import Compact
from components.rl.trainer_options import Mlp
from samewire.agent_cautions import agent_cautions, checked_market, market_words
from samewire.run_file import RunFile
from samewire.schema import load_run
from tests.components.rl.agents import card_of, drawn

FEED = GeneratedDays(days=24, symbols=2, seed=5)


def run_of(place: Path, **broker: Any) -> RunFile:
    return load_run(
        {
            "schema": 1,
            "session": {"name": "agent", "cash": 1e6},
            "feed": {"use": "generated_days", "days": 24, "symbols": 2},
            "models": [{"name": "trend", "use": "momentum", "window": 20}],
            "strategy": {"use": "sign", "signal": "trend"},
            "optimizer": "direct",
            "execution": {"use": "rl", "artefact": str(place), "horizon": 7},
            "broker": {"use": "simulated", "fill": "next_open", "participation": 0.05, "costs": {"commission_bps": 1}}
            | broker,
        }
    )


def test_another_market_and_longer_days_are_told(tmp_path: Path) -> None:
    parts = (Compact(), Categorical(4), Mlp((8,)))
    market = market_words(run_of(tmp_path))
    card = card_of(*parts, interval_ns=FEED.interval_ns, bars=8)
    artefact = drawn(msgspec.structs.replace(card, trained={"market": market}))
    place = tmp_path / "agent"
    write_artefact(artefact, place)
    same, other = run_of(place), run_of(place, fill="next_close", costs={"commission_bps": 20})
    assert checked_market(same) == ()
    found = [caution.text for caution in checked_market(other)]
    assert "broker.fill next_open, and this session has next_close" in found[0]
    assert '"commission_bps":20' in found[1]
    assert len(found) == 2
    said = agent_cautions("execution", artefact, same, FEED, 0)
    assert len(said) == 1
    assert "days of up to 8 bars, and trading days here have up to 10" in said[0]
    whole = drawn(msgspec.structs.replace(card, bars=10, trained={"market": market}))
    assert agent_cautions("execution", whole, same, FEED, 0) == []


def test_an_agent_that_is_not_there_is_told_before_a_session_begins(tmp_path: Path) -> None:
    (found,) = checked_market(run_of(tmp_path / "nowhere"))
    assert found.path == "execution.artefact"
    assert "no artefact can be read" in found.text
