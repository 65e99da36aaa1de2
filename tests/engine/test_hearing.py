"""What a class of the user's own hears: nothing that it does to it reaches anybody else."""

import contextlib
from typing import Any

import numpy as np
import pytest

from components.brokers.simulated import Simulated
from components.costs.bps import Bps
from components.models.momentum import Momentum
from components.optimizers.direct import Direct
from engine.barrier import Named
from engine.event_columns import PLANS
from engine.events import EVENT_TYPES, Approved, Bars, Book, Orders, Signal, Target
from engine.ids import OrderIds
from engine.journal import Journal
from engine.protocols import Artefact
from engine.sealing import handed, users_own
from engine.session import Replay, Session
from engine.universe import Universe, universe_of
from engine.wiring import ModelPart, Wiring
from tests.engine.parts import BarLevel, FillAtOpen, Open, Proportional, Whole, parts
from tests.engine.test_journal import one_of_each
from tests.engine.test_sealing import limited, three_slices

UNIVERSE = universe_of(("S0", "S1"))
_SHOWS = ("on_bars", "on_fills", "on_book", "on_refusals", "on_reports", "on_charges")


def written(event: Any) -> list[str]:
    """Writes into every array of an event, by every way that numpy has; the names of those that let it."""
    names = []
    for place, array in enumerate(PLANS[event.__class__].arrays(event)):
        whole = array
        while isinstance(whole, np.ndarray):
            with contextlib.suppress(ValueError):
                whole.flags.writeable = True
            with contextlib.suppress(ValueError, TypeError):
                whole.view(np.uint8)[...] = 1
                names += [f"{event.__class__.__name__} {place}"] if whole.size else []
            whole = whole.base
        array.shape = array.shape[::-1]
    return names


class Meddles:
    """Does what the component that it stands before does, and afterwards writes into all that it has heard."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.interval_ns, self.lookback = getattr(inner, "interval_ns", 0), getattr(inner, "lookback", 0)
        self.done: list[str] = []
        self.heard: set[str] = set()
        for name in (*_SHOWS, "on_orders", "on_signals", "on_targets", "on_control"):
            answers = getattr(inner, name, None)
            if answers is not None or name in _SHOWS:
                setattr(self, name, self._meddling(answers))

    def _meddling(self, answers: Any) -> Any:
        def answer(*given: Any) -> Any:
            out = None if answers is None else answers(*given)
            for each in given:
                for event in each if isinstance(each, tuple) else (each,):
                    self.heard.add(event.__class__.__name__)
                    self.done += written(event)
            return out

        return answer

    def swap(self, artefact: Artefact, /) -> None:
        artefact.files.clear()


class Sinks(Meddles):
    """Meddles with every event of a session."""

    async def write(self, event: Any, /) -> None:
        self._meddling(None)(event)

    async def aclose(self) -> None: ...


def ours(**given: Any) -> Any:
    """Parts that hold on to what they say: a ledger, a simulated broker, an optimizer."""
    broker = Simulated(universe=UNIVERSE, costs=Bps(commission_bps=5), name="broker", fill="next_open")
    direct = Direct(universe=UNIVERSE, ids=OrderIds("s", "optimizer"), costs=Bps(), name="optimizer")
    models = (ModelPart(name="b", model=Momentum(window=1, universe=UNIVERSE, name="b")),)
    own = {"broker": Named("broker", broker), "optimizer": Named("optimizer", direct), "gate": limited()}
    return parts(**({"features": (), "models": models} | own | given))


def roles() -> dict[str, tuple[Any, dict[str, Any], dict[str, Any]]]:
    """By role: who meddles, the parts with it, the same parts without it."""
    found: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {}
    makes: dict[str, Any] = {
        "strategies": lambda: Proportional("strategy"),
        "optimizer": Whole,
        "gate": Open,
        "broker": FillAtOpen,
    }
    for role, make in makes.items():
        name = "strategy" if role == "strategies" else role
        meddler = Meddles(make())
        named, plain = Named(name, meddler), Named(name, make())
        many = role == "strategies"
        found[role] = (meddler, {role: (named,) if many else named}, {role: (plain,) if many else plain})
    for held in ({}, {"lag": 1}, {"latency_ns": 5}):
        meddler = Meddles(BarLevel("b"))
        options: dict[str, Any] = held
        with_it = (ModelPart(name="b", model=meddler, **options),)
        found["model" + "".join(held)] = (
            *(meddler, {"models": with_it}),
            {"models": (ModelPart(name="b", model=BarLevel("b"), **options),)},
        )
    return found


async def digest(made: Any, *sinks: Any) -> str:
    journal = Journal()
    session = Session(Wiring(made), recorders=(journal,), sinks=sinks)
    await session.run(Replay(lambda: iter(three_slices())))
    return str(journal.digest)


@pytest.mark.parametrize("role", roles())
async def test_what_a_class_of_the_users_own_hears_it_cannot_change_for_others(role: str) -> None:
    meddler, with_it, without = roles()[role]
    assert await digest(ours(**with_it)) == await digest(ours(**without))
    assert meddler.done == []
    assert meddler.heard >= {"Fills", "Book", "Bars"}


async def test_nor_can_a_sink() -> None:
    sink = Sinks(None)
    assert await digest(ours(), sink) == await digest(ours())
    assert sink.done == []
    assert sink.heard >= {kind.__name__ for kind in (Bars, Signal, Target, Orders, Approved, Book)}


@pytest.mark.parametrize("event", one_of_each(), ids=lambda event: event.__class__.__name__)
def test_a_copy_of_an_event_says_the_same_and_is_nobody_elses(event: Any) -> None:
    copy = handed(event)
    plan = PLANS[event.__class__]
    assert plan.values(copy) == plan.values(event)
    for mine, its in zip(plan.arrays(copy), plan.arrays(event), strict=True):
        assert mine.dtype == its.dtype
        assert mine.shape == its.shape
        assert mine.tobytes() == its.tobytes()
        assert mine is not its
        assert not np.shares_memory(mine, its)
    assert written(copy) == []


def test_every_event_has_such_a_copy_and_what_is_none_is_handed_on() -> None:
    assert {event.__class__ for event in one_of_each()} == set(EVENT_TYPES)
    assert handed(3) == 3


def test_what_ours_hear_is_not_copied() -> None:
    """It would cost each session of built-ins for nothing."""
    lines = Wiring(ours()).routes
    owners = [getattr(line.handler, "__self__", None) for line in lines]
    assert None not in owners


def test_nobody_can_write_into_the_universe() -> None:
    lot = np.ones(1)
    universe = Universe(
        symbols=("A",), currencies=("USD",), currency=np.zeros(1, np.int32), multiplier=lot, lot=lot, tick=lot
    )
    for array in (universe.currency, universe.multiplier, universe.lot, universe.tick):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    lot[0] = 7.0
    assert universe.lot.tolist() == [1.0]


class Pretends(BarLevel):
    """Says of itself that it is one of ours."""


def test_whose_a_class_is_follows_from_the_file_that_it_stands_in() -> None:
    Pretends.__module__ = "components.models.momentum"
    assert users_own(Pretends("b"))
    Pretends.__qualname__ = "Momentum"
    again = type("Momentum", (), {"__module__": "components.models.momentum"})
    assert users_own(again())
    assert not users_own(Momentum(window=1, universe=UNIVERSE, name="m"))


def test_a_module_of_the_users_own_that_has_the_name_of_a_package_of_ours_is_not_ours(tmp_path: Any) -> None:
    import importlib.util
    import sys

    (tmp_path / "own.py").write_text("class Mine: ...\n")
    spec = importlib.util.spec_from_file_location("components.own", tmp_path / "own.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["components.own"] = module
    try:
        spec.loader.exec_module(module)
        assert users_own(module.Mine())
    finally:
        del sys.modules["components.own"]
