"""Recorded sessions with late, doubled, corrected, dropped bars, cut off and taken up: each is proven the same."""

from pathlib import Path

import pytest

from tests.samewire.live.faulty import session, swapped


@pytest.mark.parametrize("seed", [0, 1])
async def test_a_faulty_session_is_proven(kafka: str, topic_prefix: str, tmp_path: Path, seed: int) -> None:
    outcome = await session(tmp_path, kafka, topic_prefix, seed)
    assert outcome.identical, outcome
    assert outcome.late > 0
    assert len(set(swapped(tmp_path / "live"))) == 2


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 20))
async def test_every_faulty_session_is_proven(kafka: str, topic_prefix: str, tmp_path: Path, seed: int) -> None:
    outcome = await session(tmp_path, kafka, topic_prefix, seed)
    assert outcome.identical, outcome
