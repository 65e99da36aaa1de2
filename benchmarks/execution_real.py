"""Execution policies and agents, taught and not, on generated days with a known optimum and on real minute bars.

Generated days: PPO learns for 5,000 to 100,000 order-steps, three seeds with a teacher and three without; what counts
is the share of the optimum's advantage over TWAP that it reaches on later days. Real minutes: agents learn on the first
dates, are chosen by the next and judged on the last. TWAP, VWAP and Almgren-Chriss are those of `components/execution`,
worked by the desk in a session of these days; agents work the very same orders through the environment, and one of them
at the desk too. One function makes the figures of whatever was filled. Goal: with the teacher 80 % of the optimum after
5,000 steps.
`--save` writes the tables of docs/reinforcement-teacher.md.
"""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from execution_desk import played
from execution_parts import Part, by_agent, by_agent_at_the_desk, even, in_hindsight, interval, paces, trained
from measure import Outcome, arguments, between_marks, conclude, cpu_seconds, peak_mb

from adapters.files.parquet import ParquetFeed
from components.costs.bps import Bps
from components.costs.together import Together
from components.costs.volume_share import VolumeShare
from components.rl.acting import Categorical
from components.rl.days import Days, days_of
from components.rl.episodes import Split, generated, split
from components.rl.generated import GeneratedDays, Law
from components.rl.optimum import Optimum, Task, optimum
from components.rl.rewards import PAPenalty
from components.rl.tape import tape_of
from components.rl.trainer import Taught
from components.rl.trainer_evaluate import Figures
from components.rl.trainer_options import Course, Ppo, Teacher
from engine.events import DAY_NS

DATA = Path(os.environ.get("SAMEWIRE_DATA", Path(__file__).parents[2] / "shared" / "data")) / "intraday"
PAGE = Path(__file__).parents[1] / "docs" / "reinforcement-teacher.md"
GOAL, SEEDS = 0.8, (0, 1, 2)
BUDGETS, STEPS = (5_000, 10_000, 25_000, 100_000), 100_000  # order-steps on generated days, and on real ones
HORIZON, BARS_PER_STEP = 30, 3  # minutes
CHECKED, SAME = "us_equity_1min_2019_02", ("net", "pa", "pa_vwap", "slippage", "ffr")
SETS: dict[str, dict[str, Any]] = {
    "us_equity_1min_2019_02": {
        "feed": {"stamped": "close", "calendar": "XNYS"},
        "minutes": 390,
        "validation_from": dt.date(2019, 2, 13),
        "test_from": dt.date(2019, 2, 14),
    },
    "spy_1min_2024_02_05": {
        "feed": {"stamped": "open", "calendar": "XNYS"},
        "minutes": 390,
        "validation_from": dt.date(2024, 4, 10),
        "test_from": dt.date(2024, 4, 25),
    },
    "crypto_usdt_1min_2025_06": {
        "feed": {"stamped": "open"},
        "minutes": 1440,
        "validation_from": dt.date(2025, 6, 16),
        "test_from": dt.date(2025, 6, 21),
    },
}
LARGE, SMALL = Categorical((0.0, 0.1, 0.2, 0.5, 1.0)), Categorical((0.0, 0.05, 0.1, 0.2, 0.3))
PPO = Ppo(lr=1e-3, anneal=True, epochs=5, batch=256, clip=0.2)
TEACHER = Teacher(weight=0.5, temperature=5.0, fades=0.5)
TAUGHT: dict[str, Teacher | None] = {"PPO": None, "PPO with teacher": TEACHER}


def course(seed: int, steps: int, teacher: Teacher | None) -> Course:
    return Course(algorithm=PPO, teacher=teacher, steps=steps, seed=seed, validate_every=4)


def agents(part: Part, steps: int, seeds: tuple[int, ...]) -> dict[str, list[Taught]]:
    """By name and seed."""
    return {name: [trained(part, course(seed, steps, teacher)) for seed in seeds] for name, teacher in TAUGHT.items()}


# ---- generated days --------------------------------------------------------------------------------------------------


def generated_part(pattern: Any) -> tuple[Part, Law]:
    feed: Any = GeneratedDays(days=2400, seed=7, pattern=pattern)
    days, costs = days_of(feed), Bps(slippage_bps=1)
    orders = generated(days, share=0.01, horizon=9, of="trailing")
    dates = {"validation_from": days.date(1000), "test_from": days.date(1200)}
    parts, reward, tape = split(orders, days, **dates), PAPenalty(penalty=0.0), tape_of(days)
    told: dict[str, Any] = {"bars_per_step": 1, "action": LARGE, "reward": reward}
    part = Part(feed=feed, days=days, orders=parts, costs=costs, tape=tape, **told)
    return part, feed.law


def on_nothing(steps: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    """Where there is nothing to find: advantage over TWAP, mean of the seeds, with its interval over days."""
    part, _ = generated_part("none")
    twap, day = even(part).net, part.orders.test.day
    return {
        name: spelled(interval(np.mean([by_agent(part, each).net for each in found], axis=0) - twap, day))
        for name, found in agents(part, steps, seeds).items()
    }


def optima(part: Part, law: Law) -> dict[int, Optimum]:
    """By side, the best that knows the past."""
    tasks = {side: Task(side=side, quantity=10_000.0, start=0, horizon=9) for side in (1, -1)}
    return {side: optimum(law, task, part.market, LARGE) for side, task in tasks.items()}


def best_known(part: Part, best: dict[int, Optimum]) -> Figures:
    """What it makes of the orders of the test."""

    def known(env: Any, seen: Any) -> Any:
        del seen
        row, now = env.floor.row[env.episode], env.own.now
        deviation = part.tape.log[row, now] - part.tape.first[row]
        return np.where(env.own.side > 0, best[1].choose(env.own, deviation), best[-1].choose(env.own, deviation))

    return part.judged(played(part.env(part.orders.test), known))


def on_generated(budgets: tuple[int, ...], seeds: tuple[int, ...]) -> dict[str, Any]:
    """Shares of the optimum; the days that are judged come after those that are learned from."""
    part, law = generated_part("mean_reverting")
    best = optima(part, law)
    twap, top = even(part).net.mean(), best_known(part, best).net.mean()
    shares: dict[str, dict[str, list[float]]] = {name: {} for name in TAUGHT}
    for steps in budgets:
        for name, found in agents(part, steps, seeds).items():
            reached = [(by_agent(part, each).net.mean() - twap) / (top - twap) for each in found]
            shares[name][str(steps)] = [round(float(share), 4) for share in reached]
    return {
        "orders_judged": len(part.orders.test),
        "twap_bps": round(float(twap), 3),
        "optimum_bps": round(float(top), 3),
        "optimum_expected_gain_bps": round(float(np.mean([each.gain_bps for each in best.values()])), 3),
        "in_hindsight_bps": round(float(in_hindsight(part).net.mean()), 3),
        "share_of_optimum": shares,
    }


# ---- real minutes ----------------------------------------------------------------------------------------------------


def real(name: str) -> Part:
    said = SETS[name]
    feed: Any = ParquetFeed(path=DATA / f"{name}.parquet", **said["feed"])
    days = days_of(feed)
    orders = generated(
        days,
        share=0.01 * HORIZON / said["minutes"],  # 1 % of what the window is expected to trade
        horizon=HORIZON,
        start=tuple(range(14, said["minutes"] - HORIZON, HORIZON)),
    )
    parts_of = np.maximum(np.floor(orders.quantity / 20), 1.0) * 20  # a twentieth is a whole number of shares
    orders = msgspec.structs.replace(orders, quantity=parts_of).rows(liquid(days, said)[orders.symbol])
    parts: Split = split(orders, days, validation_from=said["validation_from"], test_from=said["test_from"])
    costs = Together(parts=(Bps(slippage_bps=0.5), VolumeShare(impact=0.1, limit=0.1)))
    return Part(
        feed=feed,
        days=days,
        orders=parts,
        costs=costs,
        tape=tape_of(days),
        bars_per_step=BARS_PER_STEP,
        action=SMALL,
        reward=PAPenalty(penalty=4.0),
    )


def liquid(days: Days, said: dict[str, Any]) -> Any:
    """(N,) symbols that traded in 99 of 100 minutes of the days that are learned from."""
    label = (said["validation_from"] - dt.date(1970, 1, 1)).days * DAY_NS
    traded = (days.by_day("status") == 0) & (days.by_day("volume") > 0)
    share = traded.sum(axis=2) / days.length[:, None]
    return share[days.label < label].mean(axis=0) >= 0.99


def on_real(name: str, steps: int, seeds: tuple[int, ...]) -> dict[str, Any]:
    part = real(name)
    day, learned = part.orders.test.day, agents(part, steps, seeds)
    found = {policy: [figures] for policy, figures in (paces(part) | {"in hindsight": in_hindsight(part)}).items()}
    found |= {agent: [by_agent(part, each) for each in of] for agent, of in learned.items()}
    twap = found["TWAP"][0].net
    gap = net(found["PPO with teacher"]) - net(found["PPO"])
    return {
        "orders": {key: len(getattr(part.orders, key)) for key in ("train", "validation", "test")},
        "days_judged": len(np.unique(day)),
        "policies": {policy: row(figures, twap, day) for policy, figures in found.items()},
        "teacher_over_alone_bps": spelled(interval(gap, day)),
    } | (at_the_desk_too(part, learned["PPO"][0], found["PPO"][0]) if name == CHECKED else {})


def at_the_desk_too(part: Part, agent: Taught, found: Figures) -> dict[str, Any]:
    """How far figures of an agent are from those of the same one in a session: 0 is the same bits."""
    again = by_agent_at_the_desk(part, agent)
    return {"agent_in_a_session_apart": float(max(np.abs(getattr(again, f) - getattr(found, f)).max() for f in SAME))}


def net(found: list[Figures]) -> Any:
    """By order, the mean of the seeds."""
    return np.mean([each.net for each in found], axis=0)


def row(found: list[Figures], twap: Any, day: Any) -> dict[str, Any]:
    """Means and half the width of their 95 % intervals, in basis points."""
    said = {
        "net_bps": spelled(interval(net(found), day)),
        "over_twap_bps": spelled(interval(net(found) - twap, day)),
        "fill_ratio": round(float(np.mean([each.ffr for each in found])), 4),
    }
    seeds = [round(float(each.net.mean()), 3) for each in found]
    return said | ({"net_bps_by_seed": seeds} if len(seeds) > 1 else {})


def spelled(found: tuple[float, float]) -> list[float]:
    return [round(value, 3) for value in found]


# ---- the page --------------------------------------------------------------------------------------------------------


def shares_table(detail: dict[str, Any]) -> str:
    """Means of the seeds, and each of them."""
    lines = ["| order-steps | PPO | PPO with teacher |", "| ---: | --- | --- |"]
    found = detail["generated"]
    shares = found["share_of_optimum"]
    for steps in shares["PPO"]:
        reached = [shares[name][steps] for name in TAUGHT]
        cells = [f"{np.mean(each):.2f} ({', '.join(f'{share:.2f}' for share in each)})" for each in reached]
        lines.append(f"| {int(steps):,} | {cells[0]} | {cells[1]} |")
    even, best, known = (found[f"{name}_bps"] for name in ("twap", "optimum", "in_hindsight"))
    lines.append(f"\nTWAP {even:.2f} bp, the optimum {best:.2f}, in hindsight {known:.2f}.")
    alone, taught = (f"{mean:.2f} ± {half:.2f}" for mean, half in detail["nothing_to_find"].values())
    lines.append(
        f"On days without a pattern, where nothing is to be found, agents are over TWAP by {alone} bp alone and\n"
        f"{taught} with the teacher."
    )
    return "\n".join(lines)


def real_table(found: dict[str, Any]) -> str:
    names = list(next(iter(found.values()))["policies"])
    lines = []
    for name, part in found.items():
        lines += ["", f"`{name}`: {part['orders']['test']:,} orders in {part['days_judged']} days", ""]
        lines += ["| policy | price advantage | over TWAP | filled |", "| --- | ---: | ---: | ---: |"]
        for policy in names:
            said = part["policies"][policy]
            advantage, over = (f"{mean:.2f} ± {half:.2f}" for mean, half in (said["net_bps"], said["over_twap_bps"]))
            lines.append(f"| {policy} | {advantage} | {'' if policy == 'TWAP' else over} | {said['fill_ratio']:.1%} |")
        gap, half = part["teacher_over_alone_bps"]
        lines.append(f"\nWith the teacher less alone: {gap:.2f} ± {half:.2f}.")
    return "\n".join(lines[1:])


def main() -> None:
    args = arguments(__doc__ or "")
    seeds = SEEDS[:1] if args.quick else SEEDS
    budgets, steps = ((5_000,), 5_000) if args.quick else (BUDGETS, STEPS)
    detail: dict[str, Any] = {"real": {}}

    def all_of_it() -> None:
        detail["generated"] = on_generated(budgets, seeds)
        detail["nothing_to_find"] = on_nothing(budgets[-1], seeds)
        for name in (CHECKED,) if args.quick else SETS:
            detail["real"][name] = on_real(name, steps, seeds)

    seconds = cpu_seconds(all_of_it)
    share = float(np.mean(detail["generated"]["share_of_optimum"]["PPO with teacher"][str(budgets[0])]))
    outcome = Outcome(
        work=f"PPO with a teacher, {budgets[0]:,} order-steps on generated days",
        value=share,
        unit="of the optimum's advantage over TWAP",
        goal=GOAL,
        met=share >= GOAL,
        detail=detail | {"cpu_s": round(seconds, 1), "peak_mb": round(peak_mb())},
    )
    if args.save and not args.quick:
        between_marks(PAGE, {"generated": shares_table(detail), "real": real_table(detail["real"])})
    conclude(args, "execution_real", outcome)


if __name__ == "__main__":
    main()
