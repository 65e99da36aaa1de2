"""A process that forks daemons, and the undisturbed sessions that others are compared with: once each."""

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.live.ground import Ground, Left, Victims
from tests.chaos.live.market import Market

_COUNT = itertools.count()
Grounds = Callable[..., Ground]
Calm = Callable[[Market], Left]


@pytest.fixture(scope="session")
def victims(kafka: str) -> Iterator[Victims]:
    found = Victims(kafka)
    yield found
    found.close()


@pytest.fixture(scope="session")
def grounds(kafka: str, victims: Victims, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grounds]:
    """Makes environments that nobody else uses, with the topics of a session."""
    folder, made_for = tmp_path_factory.mktemp("grounds"), list[Ground]()

    def made(market: Market, **live: Any) -> Ground:
        env = f"k{os.getpid():x}-{next(_COUNT)}"
        made_for.append(Ground(kafka, env, market, Path(folder), victims))
        return made_for[-1].prepare(**({"batch_ms": 0} | live))

    yield made
    for ground in made_for:  # the broker may be one that outlives this run
        ground.clear()


@pytest.fixture(scope="session")
def calm(grounds: Grounds) -> Calm:
    """What a session leaves that nothing befalls."""
    known: dict[Market, Left] = {}

    def found(market: Market) -> Left:
        if market not in known:
            ground = grounds(market)
            ground.publish()
            assert ground.victims.run(ground.order()) == 0, ground.said()
            known[market] = ground.left()
        return known[market]

    return found
