"""An agent that was no better than an even pace works at one: as the environment did that it was measured by."""

from typing import Any

import msgspec
import pytest

from components.execution.twap import Twap
from components.models.artefact import artefact_of
from components.rl.agent_artefact import CARD, TEXT, opened_agent
from engine.errors import StateError
from tests.components.rl.replaying import FEED, HOLED, KINDS, game_of, played, replayed, worked


@pytest.mark.parametrize("feed", [FEED, HOLED])
@pytest.mark.parametrize("kind", KINDS)
def test_a_session_trades_what_the_environment_did_at_an_even_pace(kind: str, feed: Any) -> None:
    game, artefact = game_of(kind, feed, works="even_pace")
    seen, fills = replayed(game, artefact, KINDS[kind][4], feed)
    assert seen == []  # its network is not asked
    assert fills == worked(game, Twap(horizon=7), KINDS[kind][4], feed)[0]
    assert len(fills) > len(game.orders)


def test_left_out_or_agent_it_makes_its_own_choices_as_before() -> None:
    game, artefact = game_of("compact")
    assert opened_agent(artefact, "test")[0].works == "agent"
    words = {key: value for key, value in msgspec.json.decode(artefact.files[CARD]).items() if key != "works"}
    older = artefact_of({**artefact.files, CARD: msgspec.json.encode(words)})
    assert replayed(game, older, None) == played(game, opened_agent(artefact, "test")[1])


def test_the_card_says_so_and_nothing_else_is_believed() -> None:
    _, artefact = game_of("compact", works="even_pace")
    assert "in sessions: an even pace" in artefact.files[TEXT].decode()
    words = msgspec.json.decode(artefact.files[CARD]) | {"works": "well"}
    with pytest.raises(StateError, match="cannot be read .*'well'"):
        opened_agent(artefact_of({**artefact.files, CARD: msgspec.json.encode(words)}), "test")
