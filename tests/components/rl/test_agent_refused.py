"""Agents, artefacts and observations that cannot be used are refused by name, and the card says what an agent is."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from components.execution.rl import Rl
from components.models.artefact import artefact_of, read_artefact, write_artefact
from components.rl.agent_artefact import CARD, CHECK, TEXT, WEIGHTS, agent_artefact, opened_agent
from components.rl.observing import Compact
from components.rl.trainer_options import Mlp
from engine.errors import ConfigError, StateError
from tests.components.rl.agents import weights_of
from tests.components.rl.replaying import FEED, game_of, pace_of


def test_another_horizon_interval_or_kind_of_days_is_refused() -> None:
    _, artefact = game_of("compact")
    with pytest.raises(ConfigError, match=r"horizon is 8, and agent .* works orders over 7 slices; set horizon: 7"):
        Rl(universe=FEED.universe, artefact=artefact, horizon=8)
    pace = pace_of(artefact)
    with pytest.raises(ConfigError, match="learned from bars of 39 minutes, and these are of 1"):
        pace.check_session(60_000_000_000, FEED.sessions)
    with pytest.raises(ConfigError, match="days that are sessions of a calendar, and the feed has dates of UTC"):
        pace.check_session(FEED.interval_ns, None)


def test_another_schema_version_or_kind_is_refused_by_name() -> None:
    with pytest.raises(StateError, match=r"schema abcabcabcabc, and this version makes those of [0-9a-f]{12}; train"):
        opened_agent(game_of("compact", schema="abcabcabcabc" * 2)[1], "execution rl")
    with pytest.raises(StateError, match=r"is of execution agent v9, this code reads execution agent v1"):
        opened_agent(game_of("compact", version=9)[1], "execution rl")
    with pytest.raises(StateError, match="holds model.txt; name a trained agent"):
        opened_agent(artefact_of({"model.txt": b"tree"}), "execution rl")


@pytest.mark.parametrize("name", [CARD, WEIGHTS, CHECK])
def test_a_damaged_artefact_is_refused(name: str, tmp_path: Path) -> None:
    _, artefact = game_of("compact")
    write_artefact(artefact, tmp_path / "agent")
    path = tmp_path / "agent" / name
    path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    with pytest.raises(StateError, match=f"{name} is not the file that was written"):
        read_artefact(tmp_path / "agent")
    with pytest.raises(StateError):  # also where somebody hashed it anew
        opened_agent(artefact_of(artefact.files | {name: path.read_bytes()}), "execution rl")


def test_weights_that_are_no_numbers_or_were_exchanged_are_refused() -> None:
    game, artefact = game_of("compact")
    card, _ = opened_agent(artefact, "test")
    weights = weights_of(card)
    other = agent_artefact(card, {name: each * 1.5 for name, each in weights.items()}, game.reset())
    with pytest.raises(StateError, match="answers otherwise than when it was trained"):
        opened_agent(artefact_of(artefact.files | {WEIGHTS: other.files[WEIGHTS]}), "execution rl")
    weights["head.bias"] = np.full_like(weights["head.bias"], np.nan)
    with pytest.raises(StateError, match="some are no finite numbers"):
        agent_artefact(card, weights, game.reset())


def test_observations_that_are_no_numbers_are_refused() -> None:
    game, artefact = game_of("compact")
    rows = game.reset()
    rows["now"][2, 4] = np.nan
    with pytest.raises(ConfigError, match="observation now of row 2 holds numbers that are none"):
        opened_agent(artefact, "test")[1].act(rows)


def test_without_pytorch_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    _, artefact = game_of("compact")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match=r"pip install 'samewire\[rl\]'"):
        Rl(universe=FEED.universe, artefact=artefact, horizon=7, sessions=FEED.sessions)


def test_its_card_says_what_it_is() -> None:
    text = game_of("steps of three bars")[1].files[TEXT].decode()
    assert "works orders over 7 bars of 39 minutes, a decision every 3 of them" in text
    assert "fill: next_open" in text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"bars": 10**9}, "agent.json: bars must be 1 to 100,000, got 1000000000"),
        ({"steps": -3}, "steps must be 1 to"),
        ({"window": 0}, "window must be 1 to"),
        ({"observation": Compact(10**15)}, "observation.longer must be 1 to"),
        ({"interval_ns": 0}, "interval_ns must be 1 to"),
        ({"network": Mlp((10**12,))}, "network.hidden must be 1 to"),
        ({"network": Mlp(())}, "network.hidden must be 1 to 64 widths"),
        ({"network": Mlp((60_000, 60_000))}, r"head.weight is \(5, 16\) torch.float32, and its network has"),
        ({"shapes": {}}, "shapes must be those of 10 bars"),
    ],
)
def test_a_card_of_sizes_that_cannot_be_is_refused_before_anything_is_made(changed: dict[str, Any], said: str) -> None:
    _, artefact = game_of("compact")
    card = msgspec.structs.replace(opened_agent(artefact, "test")[0], **changed)
    files = artefact.files | {CARD: msgspec.json.encode(card, order="sorted")}
    with pytest.raises(StateError, match=said):
        opened_agent(artefact_of(files), "execution rl")
