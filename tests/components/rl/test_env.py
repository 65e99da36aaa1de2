"""The vectorised environment: what it trades, when an episode ends, what it says of it, and how it goes on."""

from typing import Any

import msgspec
import numpy as np
import pytest

from components.costs.bps import Bps
from components.costs.dated import Dated, DatedFee
from components.costs.per_share import PerShare
from components.costs.square_root import SquareRoot
from components.costs.tiered import Tiered
from components.costs.together import Together
from components.rl.acting import Categorical, TwapRelative
from components.rl.env import OrderEnv, Transition, twap_action
from components.rl.episodes import generated
from components.rl.observing import Compact, CurrentStep, FullHistory
from components.rl.rewards import EndRatio, PAPenalty
from components.rl.tape import tape_of
from components.rl.trainer_evaluate import over_all
from components.rl.trainer_rest import Rest
from engine.errors import ConfigError, DataError, StateError
from engine.events import DAY_NS
from tests.components.rl.made import env, market, minutes, orders

DAYS = minutes()
OF = generated(DAYS, share=0.02, horizon=5, of="day")


def whole(game: OrderEnv, choose: object = None) -> list[Transition]:
    """A pass over all orders; `choose` is an action for every step, or TWAP."""
    seen = []
    game.reset()
    while game.active.any():
        action = twap_action(Categorical(4), game.own) if choose is None else np.full(game.width, choose)
        seen.append(game.step(action))
    return seen


def test_an_order_trades_at_the_open_of_the_bar_after_its_decision_with_the_brokers_slippage_and_fees() -> None:
    game = env(DAYS, orders((1, 1, 1, 100, 3, 4)))
    game.reset()
    done = game.step(np.array([4]))
    (bar,) = game.traded
    price = DAYS.by_day("open")[1, 1, 4] * (1 + 2e-4)
    assert (bar.qty.tolist(), bar.price.tolist()) == ([100.0], [price])
    assert bar.fees[0, 0] == 100 * price * 1e-4
    assert done.done.tolist() == [True]
    twap = DAYS.by_day("open")[1, 1, 4:8].mean()
    paid = price * (1 + 1e-4)
    assert done.finished.pa_bps[0] == pytest.approx((1 - price / twap) * 1e4)
    assert done.finished.net_bps[0] == pytest.approx((1 - paid / twap) * 1e4)
    assert done.finished.slippage_bps[0] == pytest.approx((price / DAYS.by_day("close")[1, 1, 3] - 1) * 1e4)
    assert done.finished.fees_bps[0] == pytest.approx(1.0)
    assert done.finished.fill_ratio.tolist() == [1.0]
    volume, opens = (DAYS.by_day(name)[1, 1, 4:8] for name in ("volume", "open"))
    vwap = (volume * opens).sum() / volume.sum()
    assert done.finished.pa_vwap_bps[0] == pytest.approx((1 - price / vwap) * 1e4)


@pytest.mark.parametrize(("fill", "column"), [("next_close", "close"), ("next_vwap", "vwap")])
def test_other_timings_trade_at_their_own_price(fill: str, column: str) -> None:
    game = env(DAYS, orders((0, 0, -1, 10, 2, 3)), market=market(DAYS, fill=fill))
    game.reset()
    game.step(np.array([4]))
    assert game.traded[0].price[0] == DAYS.by_day(column)[0, 0, 3] * (1 - 2e-4)


def test_the_last_step_sends_all_that_is_left() -> None:
    game = env(DAYS, orders((0, 0, 1, 100, 0, 3), (0, 0, 1, 100, 0, 3)))
    steps = whole(game, 0)
    assert [step.done.tolist() for step in steps] == [[False, False], [False, False], [True, True]]
    assert steps[-1].finished.fill_ratio.tolist() == [1.0, 1.0]
    assert game.traded[0].qty.tolist() == [100.0, 100.0]


def test_a_step_of_several_bars_spreads_its_amount_over_them_in_whole_lots() -> None:
    game = env(DAYS, orders((0, 0, -1, 101, 0, 6)), bars_per_step=3)
    game.reset()
    game.step(np.array([2]))  # half of it: 50
    assert [bar.qty[0] for bar in game.traded] == [-16.0, -17.0, -17.0]
    game.step(np.array([0]))  # the last step
    assert [bar.qty[0] for bar in game.traded] == [-17.0, -17.0, -17.0]


def test_lots_are_whole_and_what_does_not_fit_is_in_the_last_child() -> None:
    days = minutes(lot=100.0)
    game = env(days, orders((0, 0, 1, 1300, 0, 4)))
    game.reset()
    traded = []
    while game.active.any():
        game.step(np.array([1]))
        traded.append(game.traded[0].qty[0])
    assert traded == [300.0, 300.0, 300.0, 400.0]


def test_participation_leaves_a_rest_that_goes_back_to_the_order() -> None:
    volume = DAYS.by_day("volume")[0, 0]
    share = np.floor(volume * 0.1 + 1e-9)
    quantity = float(share[1:4].sum() + 5)
    game = env(DAYS, orders((0, 0, 1, quantity, 0, 3)), market=market(DAYS, participation=0.1))
    steps = whole(game, 4)
    assert steps[-1].finished.fill_ratio[0] == (quantity - 5) / quantity
    assert [step.done[0] for step in steps] == [False, False, True]


def test_rewards_of_an_episode_add_up_to_its_price_advantage_with_fees_in_it() -> None:
    of = generated(DAYS, share=0.05, horizon=6, of="day", start=2)
    game = env(DAYS, of, reward=PAPenalty(penalty=0.0), bars_per_step=2)
    finished = [step.finished for step in whole(game, 1)]
    pa, reward = (np.concatenate([getattr(each, name) for each in finished]) for name in ("net_bps", "reward"))
    assert len(pa) == len(of)
    np.testing.assert_allclose(reward, pa, rtol=1e-9, atol=1e-9)


def test_the_reward_against_the_arrival_adds_up_to_the_slippage() -> None:
    of = generated(DAYS, share=0.05, horizon=6, of="day", start=2)
    costs = Bps(slippage_bps=2)
    game = env(DAYS, of, reward=PAPenalty(penalty=0.0, against="arrival"), market=market(DAYS, costs=costs))
    for step in whole(game, 1):
        np.testing.assert_allclose(step.finished.reward, -step.finished.slippage_bps, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rest", ["close", "ignored"])
def test_between_the_two_benchmarks_lies_the_drift_times_what_counts_and_its_price(rest: Any) -> None:
    of, at = generated(DAYS, share=0.3, horizon=6, of="day", start=2), market(DAYS, participation=0.5)
    sums, found, game = [], None, None
    for against in ("twap", "arrival"):
        reward = PAPenalty(penalty=0.0, against=against, rest=rest)  # type: ignore[arg-type]
        game = env(DAYS, of, reward=reward, market=at)
        found = over_all(game, lambda seen: np.ones(len(of), int))
        sums.append(found.reward)
    assert found is not None
    assert game is not None
    assert (found.ffr < 1).any()
    counted, share = (Rest(game).counted(found), 1.0) if rest == "close" else (found, found.ffr)
    known = game.floor.known
    price = known.twap * (1 - of.side * counted.net / 1e4)
    drift = of.side * share * price * (1 / known.arrival - 1 / known.twap) * 1e4
    np.testing.assert_allclose(sums[0] - sums[1], drift, rtol=1e-6, atol=1e-8)


def test_each_once_without_a_generator_and_rows_without_an_episode_do_nothing() -> None:
    of = generated(DAYS, share=0.01, horizon=3, of="day", start=(0, 5))
    game = env(DAYS, of, width=5)
    episodes, last = [], None
    for step in whole(game):
        assert (step.reward[~step.acted] == 0).all()
        assert not step.done[~step.acted].any()
        episodes += step.finished.episode.tolist()
        last = step
    assert sorted(episodes) == list(range(len(of)))
    assert last is not None
    assert (last.observation["now"] == 0).all()
    with pytest.raises(DataError, match="no row has an episode"):
        game.step(np.zeros(5, int))
    assert game.reset()["now"].any()


def test_with_a_generator_every_round_has_each_order_once_in_an_order_of_its_own() -> None:
    of = generated(DAYS, share=0.01, horizon=1, of="day")
    game = env(DAYS, of, width=4, rng=np.random.default_rng(3))
    game.reset()
    seen = np.concatenate([game.step(np.zeros(4, int)).finished.episode for _ in range(len(of) // 2)])
    one, other = seen[: len(of)].tolist(), seen[len(of) :].tolist()
    assert sorted(one) == sorted(other) == list(range(len(of)))
    assert one != other


def run_on(game: OrderEnv, rng: np.random.Generator, steps: int) -> list[bytes]:
    said = []
    for _ in range(steps):
        out = game.step(rng.integers(0, game.action_count, game.width))
        parts = [*out.observation.values(), out.reward, out.done, out.acted]
        parts += [getattr(out.finished, name) for name in out.finished.__struct_fields__]
        said.append(b"".join(np.ascontiguousarray(part).tobytes() for part in parts))
    return said


@pytest.mark.parametrize("observation", [Compact(), FullHistory(), CurrentStep()])
def test_saved_and_loaded_it_goes_on_bit_for_bit(observation: object) -> None:
    of = generated(DAYS, share=0.02, horizon=5, of="day", start=(0, 3))
    made = {"width": 7, "observation": observation, "bars_per_step": 2}
    game, rng = env(DAYS, of, rng=np.random.default_rng(1), **made), np.random.default_rng(2)
    game.reset()
    run_on(game, rng, 9)
    state, kept = game.save(), rng.bit_generator.state
    seen = game.observation()
    expected = run_on(game, rng, 20)
    other = env(DAYS, of, rng=np.random.default_rng(99), **made)
    other.load(state)
    rng.bit_generator.state = kept
    assert {name: part.tobytes() for name, part in other.observation().items()} == {
        name: part.tobytes() for name, part in seen.items()
    }
    assert run_on(other, rng, 20) == expected


def test_the_state_of_another_game_is_refused() -> None:
    of = generated(DAYS, share=0.02, horizon=5, of="day")
    state = env(DAYS, of, width=3).save()
    with pytest.raises(StateError, match="width was 3 when the state was saved and is 4 now"):
        env(DAYS, of, width=4).load(state)
    with pytest.raises(StateError, match="schema was"):
        env(DAYS, of, width=3, action=Categorical(5)).load(state)
    with pytest.raises(StateError, match="damaged"):
        env(DAYS, of, width=3).load(state[:-1])


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("orders", {"of": msgspec.structs.replace(OF, side=-OF.side)}),
        ("orders", {"of": msgspec.structs.replace(OF, quantity=OF.quantity * 2)}),
        ("days", {"days": minutes(seed=9)}),
        ("days", {"days": minutes(calendar=(13,) * 4)}),
        ("tape", {"tape": tape_of(DAYS, window=1)}),
        ("market", {"market": market(DAYS, costs=Bps(commission_bps=1, slippage_bps=3))}),
        ("market", {"market": market(DAYS, costs=Bps(commission_bps=2, slippage_bps=2))}),
        ("market", {"market": market(DAYS, fill="next_close")}),
        ("market", {"market": market(DAYS, participation=0.05)}),
        ("market", {"market": market(DAYS, participation=0.5)}),
        ("market", {"market": market(DAYS, participation=0.6), "made": {"market": market(DAYS, participation=0.5)}}),
        ("reward", {"reward": PAPenalty(penalty=5.0, scale=0.01)}),
        ("reward", {"reward": PAPenalty(penalty=4.0, scale=0.01, against="arrival")}),
        ("reward", {"reward": PAPenalty(penalty=4.0, scale=0.01, rest="ignored")}),
        ("reward", {"reward": EndRatio()}),
        ("generator", {"rng": None}),
    ],
)
def test_the_part_that_is_another_is_named(name: str, changed: dict[str, Any]) -> None:
    changed = dict(changed)
    made: dict[str, Any] = {"width": 3, "rng": np.random.default_rng(1), "market": market(DAYS)}
    made |= changed.pop("made", {})
    state = env(DAYS, OF, **made).save()
    env(minutes(), msgspec.structs.replace(OF), **made).load(state)
    days, of = changed.pop("days", DAYS), changed.pop("of", OF)
    other = env(days, of, **made | changed)
    with pytest.raises(StateError, match=f"order_env: {name} was .* when the state was saved and is .* now"):
        other.load(state)
    with pytest.raises(StateError, match=f"order_env: {name} was"):
        env(DAYS, OF, **made).load(other.save())


def test_the_schema_follows_what_a_policy_sees_and_may_choose() -> None:
    of = generated(DAYS, share=0.02, horizon=6, of="day")
    games = (
        env(DAYS, of),
        env(DAYS, of, observation=Compact(longer=4)),
        env(DAYS, of, observation=CurrentStep()),
        env(DAYS, of, action=Categorical((0.0, 0.5))),
        env(DAYS, of, action=TwapRelative()),
        env(DAYS, of, bars_per_step=2),
    )
    assert len({game.schema for game in games}) == len(games)
    assert env(DAYS, of.rows(np.arange(3))).schema == games[0].schema


@pytest.mark.parametrize(
    ("action", "given", "said"),
    [
        (Categorical(4), np.array([5, 0]), "choices from 0 to 4, got 0 to 5"),
        (Categorical(4), np.array([-1, 0]), "choices from 0 to 4"),
        (Categorical(4), np.array([0.5, 0.0]), r"give \(2,\) integers"),
        (Categorical(4), np.array([1]), r"give \(2,\) integers"),
        (TwapRelative(), np.array([np.nan, 1.0]), "at least 0, got nan"),
        (TwapRelative(), np.array([-0.1, 1.0]), "at least 0, got -0.1"),
        (TwapRelative(), np.array([1.0]), r"give \(2,\) numbers"),
    ],
)
def test_an_action_that_is_no_choice_is_refused(action: object, given: np.ndarray, said: str) -> None:
    game = env(DAYS, orders((0, 0, 1, 50, 0, 4), (0, 1, 1, 50, 0, 4)), action=action)
    game.reset()
    with pytest.raises(DataError, match=said):
        game.step(given)


def test_one_at_every_step_of_twap_relative_is_twap() -> None:
    game = env(DAYS, orders((0, 0, 1, 100, 0, 4)), action=TwapRelative(), width=1)
    game.reset()
    traded = []
    while game.active.any():
        game.step(np.ones((1, 1)))
        traded.append(game.traded[0].qty[0])
    assert traded == [25.0] * 4


def test_costs_that_remember_are_refused_and_dated_ones_know_the_day_of_each_row() -> None:
    first = DAYS.date(1)
    for costs in (
        SquareRoot(universe=DAYS.universe),
        Tiered(),
        Together(parts=(PerShare(rate=0.01), Tiered())),
    ):
        with pytest.raises(ConfigError, match="episodes of many days have no common past"):
            market(DAYS, costs=costs)
    dated = Dated(rates=(DatedFee(first, bps_buy=1), DatedFee(DAYS.date(2), bps_buy=3)))
    game = env(DAYS, orders(*((day, 0, 1, 10.0, 2, 3) for day in range(4))), market=market(DAYS, costs=dated))
    game.reset()
    game.step(np.full(4, 4))
    (bar,) = game.traded
    np.testing.assert_allclose(bar.fees[:, 2] / (bar.qty * bar.price) * 1e4, [0, 1, 3, 3])


@pytest.mark.parametrize("fill", ["same_close", "open_auction", "close_auction", "magic"])
def test_timings_without_a_bar_after_the_decision_are_refused(fill: str) -> None:
    with pytest.raises(ConfigError, match="use one of: next_open, next_close, next_vwap"):
        market(DAYS, fill=fill)


def test_a_multiplier_scales_money_and_no_figure() -> None:
    of = orders((0, 0, 1, 50, 0, 4), (1, 1, -1, 50, 0, 4))
    one, hundred = (whole(env(minutes(multiplier=m), of), 1) for m in (1.0, 100.0))
    for a, b in zip(one, hundred, strict=True):
        np.testing.assert_allclose(a.reward, b.reward)
        for name in a.finished.__struct_fields__:
            np.testing.assert_allclose(getattr(a.finished, name), getattr(b.finished, name))


def test_the_end_reward_comes_once_at_the_end() -> None:
    of = generated(DAYS, share=0.05, horizon=4, of="day", start=1)
    steps = whole(env(DAYS, of, reward=EndRatio()), 1)
    rewards = np.array([step.reward for step in steps])
    assert (rewards[:-1] == 0).all()
    pa = steps[-1].finished.net_bps
    assert set(rewards[-1]) <= {-1.0, 0.0}
    assert (rewards[-1] == np.where(pa < 0, -1.0, 0.0)).all()


# ---- bad days --------------------------------------------------------------------------------------------------------


def test_a_day_without_volume_fills_nothing_and_every_figure_is_a_number() -> None:
    days = minutes(idle=(1,))
    game = env(days, orders((1, 0, 1, 50, 0, 4)))
    steps = whole(game, 2)
    finished = steps[-1].finished
    assert len(steps) == 4
    assert [getattr(finished, name)[0] for name in ("pa_bps", "pa_vwap_bps", "slippage_bps", "fees_bps")] == [0.0] * 4
    assert (finished.fill_ratio[0], finished.reward[0]) == (0.0, 0.0)
    assert not generated(days, share=0.01, horizon=3, of="day").rows(np.arange(0)).quantity.size
    assert 1 not in generated(days, share=0.01, horizon=3, of="day").day


def test_halted_bars_trade_nothing_and_the_rest_is_traded_after_them() -> None:
    days = minutes(halted=((0, 0),))  # bars 4 to 7 of 12
    game = env(days, orders((0, 0, 1, 100, 2, 8)))
    game.reset()
    traded, rewards = [], []
    while game.active.any():
        step = game.step(np.array([1]))
        traded.append(game.traded[0].qty[0])
        rewards.append(step.reward[0])
    assert traded == [25.0, 0.0, 0.0, 0.0, 0.0, 0.0, 25.0, 50.0]  # at the close of a halted bar nothing is sent
    assert np.isfinite(rewards).all()


def test_an_order_larger_than_the_days_volume_is_filled_as_far_as_the_volume_goes() -> None:
    volume = DAYS.by_day("volume")[0, 0]
    much = float(volume.sum() * 2)
    game = env(DAYS, orders((0, 0, -1, much, 0, 99)), market=market(DAYS, participation=1.0))
    steps = whole(game, 4)
    assert steps[-1].finished.fill_ratio[0] == pytest.approx(volume[1:].sum() / much)
    assert len(steps) == 11


def test_a_horizon_past_the_close_ends_with_the_last_bar_of_the_day() -> None:
    days = minutes(lengths=(12, 5, 12), calendar=(12, 5, 12))
    game = env(days, orders((1, 0, 1, 100, 2, 50), (0, 0, 1, 100, 2, 50)))
    steps = whole(game, 0)
    assert np.argmax([step.done[0] for step in steps]) == 1  # bars 3 and 4
    assert np.argmax([step.done[1] for step in steps]) == 8
    assert all(step.finished.fill_ratio.tolist() in ([], [1.0]) for step in steps)


@pytest.mark.parametrize("calendar", [None, (12, 12, 12)])
def test_slices_that_never_come_are_missed_and_nobody_knew(calendar: tuple[int, ...] | None) -> None:
    days = minutes(lengths=(12, 5, 12), calendar=calendar)
    game = env(days, orders((1, 0, 1, 100, 2, 50)))
    game.reset()
    assert (game.own.end.tolist(), game.own.steps.tolist()) == ([11], [9])
    steps = [game.step(np.array([1])), game.step(np.array([0]))]
    assert [step.done.tolist() for step in steps] == [[False], [True]]
    assert steps[-1].finished.fill_ratio.tolist() == [0.25]


def test_the_clock_cuts_an_order_whose_slices_did_not_come() -> None:
    """Of a session of 12 slices the third to sixth are not there: at bar 2, the seventh, five more are left."""
    days = minutes(lengths=(12,), calendar=(12,), unseen={0: (2, 3, 4, 5)})
    assert (days.length.tolist(), days.bars) == ([8], 12)
    game = env(days, orders((0, 0, 1, 100, 0, 11)), action=TwapRelative())
    game.reset()
    ends, traded = [], []
    while game.active.any():
        ends.append((int(game.own.end[0]), int(game.own.steps[0])))
        game.step(np.ones(1))
        traded.append(float(game.traded[0].qty[0]))
    assert ends == [(11, 11), (11, 11), *[(7, 7)] * 5]
    assert traded == [9.0, 9.0, 25.0, 14.0, 14.0, 15.0, 14.0]


def test_the_last_step_is_shorter_where_the_bars_do_not_come_out_even() -> None:
    game = env(DAYS, orders((0, 0, 1, 100, 0, 5)), bars_per_step=2)
    assert game.steps == 3
    steps = whole(game, 0)
    assert len(steps) == 3
    assert [bar.qty[0] for bar in game.traded] == [100.0, 0.0]


def test_missing_bars_and_unknown_prices_make_no_nan() -> None:
    days = minutes(holes=0.5, idle=(2,), halted=((0, 0), (3, 1)), seed=4)
    of = orders(
        *((d, s, side, 500.0, start, 9) for d in range(4) for s in (0, 1) for side in (1, -1) for start in (0, 4))
    )
    for observation in (Compact(), FullHistory(), CurrentStep()):
        game = env(days, of, observation=observation, market=market(days, participation=0.2), bars_per_step=2)
        game.reset()
        while game.active.any():
            step = game.step(twap_action(Categorical(4), game.own))
            assert all(np.isfinite(part).all() for part in step.observation.values())
            assert np.isfinite(step.reward).all()
            for name in step.finished.__struct_fields__:
                assert np.isfinite(getattr(step.finished, name)).all()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ((9, 0, 1, 50, 0, 4), "order 0: day must be one of the 4 days"),
        ((0, 7, 1, 50, 0, 4), "symbol must be a position in the universe, got 7"),
        ((0, 0, 2, 50, 0, 4), "side must be 1 to buy or -1 to sell, got 2"),
        ((0, 0, 1, 0, 0, 4), "quantity must be finite and above 0, got 0"),
        ((0, 0, 1, np.nan, 0, 4), "quantity must be finite"),
        ((0, 0, 1, 50.5, 0, 4), "quantity must be whole lots, got 50.5"),
        ((0, 0, 1, 50, 11, 4), "start must be a bar of its day before the last one, got 11"),
        ((0, 0, 1, 50, -1, 4), "start must be"),
        ((0, 0, 1, 50, 0, 0), "horizon must be at least 1 bar, got 0"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_by_name(row: tuple[int, ...], said: str) -> None:
    with pytest.raises(DataError, match=said):
        env(DAYS, orders(row))  # type: ignore[arg-type]


def test_no_orders_and_no_width_are_refused() -> None:
    of = generated(DAYS, share=0.01, horizon=3, of="day")
    with pytest.raises(ValueError, match="an empty split cannot be stepped"):
        env(DAYS, of.rows(np.zeros(len(of), bool)), width=2)
    with pytest.raises(ValueError, match="width must be at least 1"):
        env(DAYS, of, width=0)
    with pytest.raises(ValueError, match="bars_per_step must be at least 1"):
        env(DAYS, of, bars_per_step=0)


def test_days_are_shared_and_not_written_to() -> None:
    for name in ("open", "close", "volume", "status", "ts", "length"):
        assert not getattr(DAYS, name).flags.writeable
    assert DAYS.label[1] - DAYS.label[0] == DAY_NS
    assert msgspec.structs.asdict(DAYS)["universe"] is DAYS.universe
