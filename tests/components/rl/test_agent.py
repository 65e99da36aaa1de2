"""A trained agent in a session sees what the environment showed it, does the same and trades the same, to the bit."""

import datetime as dt
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from adapters.files.parquet import ParquetFeed
from components.brokers.beside import Beside
from components.costs.bps import Bps
from components.execution.twap import Twap
from components.models.artefact import write_artefact
from components.rl.acting import TwapRelative
from components.rl.agent_artefact import opened_agent
from components.rl.days import days_of
from components.rl.env import OrderEnv
from components.rl.episodes import generated
from components.rl.observing import CurrentStep
from components.rl.rewards import PAPenalty
from components.rl.trainer_evaluate import over_all
from tests.components.rl.replaying import HOLED, KINDS, game_of, holed, played, replayed, worked


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_sees_does_and_trades_what_the_environment_did(kind: str) -> None:
    game, artefact = game_of(kind)
    seen, fills = played(game, opened_agent(artefact, "test")[1])
    again, traded = replayed(game, artefact, KINDS[kind][4])
    assert len({action for _, action in seen}) > 1
    assert seen == again
    assert fills == traded
    assert len(fills) > len(game.orders)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_with_missing_bars_and_slices_and_orders_that_the_close_cuts(kind: str) -> None:
    game, artefact = game_of(kind, HOLED)
    seen, fills = played(game, opened_agent(artefact, "test")[1])
    again, traded = replayed(game, artefact, KINDS[kind][4], HOLED)
    assert (seen, fills) == (again, traded)
    assert len(fills) >= 10


@pytest.fixture(scope="module")
def real_minutes(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParquetFeed]:
    """The first two days: one to size the orders by, one to work them."""
    folder = tmp_path_factory.mktemp("minutes")
    until = [("ts", "<", dt.datetime(2019, 2, 13, tzinfo=dt.UTC))]
    table = pq.read_table(data_dir / "intraday" / "us_equity_1min_2019_02.parquet", filters=until)
    pq.write_table(table, folder / "minutes.parquet")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SAMEWIRE_CACHE", str(folder))
        yield ParquetFeed(path=folder / "minutes.parquet", stamped="close", interval="1m", calendar="XNYS")


@pytest.mark.data
@pytest.mark.parametrize("kind", ["partly filled", "steps of three bars", "a multiple of an even pace"])
def test_the_same_on_real_minutes_of_which_some_are_missing(kind: str, real_minutes: ParquetFeed) -> None:
    game, artefact = game_of(kind, real_minutes, share=0.002)
    assert (game.days.status != 0).any()
    seen, fills = played(game, opened_agent(artefact, "test")[1])
    again, traded = replayed(game, artefact, KINDS[kind][4], real_minutes)
    assert (seen, fills) == (again, traded)
    assert len({action for _, action in seen}) > 1
    assert len(fills) > len(game.orders)


def even(game: OrderEnv) -> list[Any]:
    """Fills of one throughout."""

    class Ones:
        def act(self, observation: dict[str, Any]) -> Any:
            del observation
            return np.ones(game.width)

    policy: Any = Ones()
    return played(game, policy)[1]


@pytest.mark.data
@pytest.mark.parametrize("participation", [None, 0.1])
def test_one_throughout_is_the_pace_twap_on_real_minutes(
    participation: float | None, real_minutes: ParquetFeed
) -> None:
    one_throughout_is_twap(real_minutes, participation, (30, 380), 20)


@pytest.mark.parametrize("lot", [1.0, 100.0])
@pytest.mark.parametrize("participation", [None, 0.05])
def test_one_throughout_is_the_pace_twap(participation: float | None, lot: float) -> None:
    one_throughout_is_twap(holed(lot), participation, (0, 5), 5)


def one_throughout_is_twap(feed: Any, participation: float | None, start: tuple[int, ...], horizon: int) -> None:
    days = days_of(feed)
    orders = generated(days, share=0.002 if days.bars > 99 else 0.1, horizon=horizon, start=start)
    orders = orders.rows((orders.side > 0) == ((orders.day + orders.symbol) % 2 > 0))
    broker: dict[str, Any] = {"costs": Bps(commission_bps=1.0, slippage_bps=2.0), "participation": participation}
    game = OrderEnv(
        days=days,
        orders=orders,
        market=Beside(universe=feed.universe, **broker),
        observation=CurrentStep(),
        action=TwapRelative(),
        reward=PAPenalty(),
        width=len(orders),
    )
    fills = even(game)
    assert len(fills) > len(orders)
    traded, table = worked(game, Twap(horizon=horizon), participation, feed)
    assert traded == fills
    figures_are_those_of_the_session(game, table)


def figures_are_those_of_the_session(game: OrderEnv, table: dict[str, Any]) -> None:
    """One definition: fees beside the price, and the same bars in the base."""
    found, of = over_all(game, lambda seen: np.ones(game.width)), game.orders
    rows = {key: k for k, key in enumerate(zip(table["ts"].tolist(), table["symbol"], strict=True))}
    symbols = game.days.universe.symbols
    at = [rows[int(game.days.ts[d, t]), symbols[s]] for d, t, s in zip(of.day, of.start, of.symbol, strict=True)]
    for ours, theirs in (
        (found.pa, "pa_twap_bps"),
        (found.pa_vwap, "pa_vwap_bps"),
        (found.slippage, "arrival_bps"),
        (found.ffr, "fill_ratio"),
    ):
        np.testing.assert_allclose(ours, np.nan_to_num(table[theirs][at]), rtol=1e-9, atol=1e-7)
    assert (found.net < found.pa)[found.ffr > 0].all()


@pytest.mark.parametrize("kind", ["compact", "full history"])
def test_a_row_is_answered_alike_in_whatever_company(kind: str) -> None:
    game, artefact = game_of(kind)
    policy, rows = opened_agent(artefact, "test")[1], game.reset()
    many = {name: np.concatenate([each] * 9) for name, each in rows.items()}  # more than one block
    whole = policy.scores(many)
    for k in (0, 5, 63, 64, 100, 143):
        alone = policy.scores({name: each[k : k + 1] for name, each in many.items()})
        assert alone.tobytes() == whole[k : k + 1].tobytes()


def test_another_process_gives_the_same_artefact_and_the_same_actions(tmp_path: Path) -> None:
    game, artefact = game_of("compact")
    write_artefact(artefact, tmp_path / "agent")
    code = (
        "import sys, pathlib\n"
        "from components.models.artefact import read_artefact\n"
        "from components.rl.agent_artefact import opened_agent\n"
        "from tests.components.rl.replaying import game_of, played\n"
        "game, made = game_of('compact')\n"
        "found = read_artefact(pathlib.Path(sys.argv[1]))\n"
        "seen, fills = played(game, opened_agent(found, 'test')[1])\n"
        "import hashlib; print(made.hash, hashlib.sha256(repr((seen, fills)).encode()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "agent")], capture_output=True, text=True, check=True
    )
    import hashlib

    here = hashlib.sha256(repr(played(game, opened_agent(artefact, "test")[1])).encode()).hexdigest()
    assert done.stdout.split() == [artefact.hash, here]
