"""Students of two teachers and one of none, on generated days with a known optimum, at the same order-steps each.

The days, orders and options of PPO are those of `execution_real`. One teacher knows what was best in hindsight, the
other learned by PPO from the bars to come, 100,000 order-steps that its students do not count. Three seeds. The figure
is the share of the optimum's advantage over TWAP on later days. Goal: with the trained teacher 80 % after 5,000 steps.
With `--weights` students of the one who knows best are compared instead, by the weight and temperature of what they are
taught and on the days to choose by: those of the later days stay unseen. `--save` writes a table of
docs/reinforcement-teacher.md.
"""

import argparse
from typing import Any

import numpy as np
from execution_desk import played
from execution_parts import ROWS, Part, by_agent, even, in_hindsight, trained
from execution_real import PAGE, PPO, SEEDS, TEACHER, best_known, generated_part, optima
from measure import Outcome, between_marks, conclude, cpu_seconds, parser, peak_mb

from components.rl.trainer import SILENT, Arena, Taught, Training, libraries_here
from components.rl.trainer_options import Course, Teacher, TrainedTeacher

GOAL, BUDGETS, TAUGHT_FOR = 0.8, (5_000, 10_000, 25_000), 100_000
TRAINED = {
    "trained, weight 0.01": TrainedTeacher(steps=TAUGHT_FOR),
    "trained, weight 0.5, fading": TrainedTeacher(steps=TAUGHT_FOR, weight=0.5, fades=0.5),
}
ARMS: dict[str, Any] = {"alone": None, "hindsight": TEACHER} | TRAINED
JUDGED = "trained, weight 0.5, fading"
WEIGHTS: tuple[tuple[float, float], ...] = ((0.5, 0), (1, 0), (0.5, 5), (1, 5), (0.5, 20))  # and temperatures, bp
WEIGHED = BUDGETS[1:]


def arena(part: Part, seed: int) -> Arena:
    return Arena(
        training=part.env(part.orders.train, width=ROWS, seed=seed + 1), validation=part.env(part.orders.validation)
    )


def course(seed: int, steps: int, teacher: Any) -> Course:
    return Course(algorithm=PPO, teacher=teacher, steps=steps, seed=seed, validate_every=4)


def student(part: Part, of: Course, guide: Any) -> Taught:
    """What `teach` does, with a teacher that has learned already."""
    from components.rl.trainer_chance import own_chance

    with own_chance():
        training = Training(of, arena(part, of.seed), SILENT, guide)
        training.begin(None)
        while not training.done:
            training.iterate()
        return training.result()


def on_one_seed(part: Part, seed: int, budgets: tuple[int, ...], taught_for: int) -> dict[str, Any]:
    """Advantages of the students by arm and budget, and of their teacher; the same one teaches all of a seed."""
    from components.rl.trainer_chance import own_chance
    from components.rl.trainer_teacher import Guide, guide_of

    of = course(seed, budgets[0], TrainedTeacher(steps=taught_for))
    with own_chance():
        guide: Guide = guide_of(of, arena(part, seed), None, SILENT)

    def reached(steps: int, teacher: Any) -> float:
        return float(by_agent(part, student(part, course(seed, steps, teacher), guide)).net.mean())

    found = {name: {steps: reached(steps, teacher) for steps in budgets} for name, teacher in ARMS.items()}
    game = part.env(part.orders.test)
    test = Guide(game, guide.policy)
    knows = played(game, lambda env, seen: test.worths(env.episode, env.own).argmax(axis=1))
    return {"students": found, "teacher": float(part.judged(knows).net.mean())}


def compared(seeds: tuple[int, ...], budgets: tuple[int, ...], taught_for: int) -> dict[str, Any]:
    part, law = generated_part("mean_reverting")
    twap, top = even(part).net.mean(), best_known(part, optima(part, law)).net.mean()
    by_seed = [on_one_seed(part, seed, budgets, taught_for) for seed in seeds]

    def share(net: float) -> float:
        return round(float((net - twap) / (top - twap)), 4)

    return {
        "twap_bps": round(float(twap), 3),
        "optimum_bps": round(float(top), 3),
        "in_hindsight_bps": round(float(in_hindsight(part).net.mean()), 3),
        "teacher_bps": [round(each["teacher"], 3) for each in by_seed],
        "share_of_optimum": {
            name: {str(steps): [share(each["students"][name][steps]) for each in by_seed] for steps in budgets}
            for name in ARMS
        },
    }


def table(found: dict[str, Any]) -> str:
    shares = found["share_of_optimum"]
    lines = [f"| order-steps | {' | '.join(shares)} |", f"| ---: |{' --- |' * len(shares)}"]
    for steps in next(iter(shares.values())):
        reached = [of[steps] for of in shares.values()]
        cells = [f"{np.mean(each):.2f} ({', '.join(f'{share:.2f}' for share in each)})" for each in reached]
        lines.append(f"| {int(steps):,} | {' | '.join(cells)} |")
    teacher, known = np.mean(found["teacher_bps"]), found["in_hindsight_bps"]
    lines.append(
        f"\nOn the days that are judged the trained teacher has {teacher:.2f} bp, the best in hindsight {known:.2f}."
    )
    return "\n".join(lines)


# ---- weights and temperatures ----------------------------------------------------------------------------------------


def weighed(seeds: tuple[int, ...], budgets: tuple[int, ...]) -> dict[str, Any]:
    """Price advantages on the days to choose by, of the best validation of each seed, by budget and what is taught."""
    part, _ = generated_part("mean_reverting")
    taught: dict[str, Teacher | None] = {"none": None}
    taught |= {f"{weight:g}, {bp:g}": Teacher(weight=weight, temperature=bp, fades=0.5) for weight, bp in WEIGHTS}

    def chosen(seed: int, steps: int, teacher: Teacher | None) -> float:
        return round(trained(part, course(seed, steps, teacher)).figures["val/net"], 3)

    return {
        str(steps): {name: [chosen(seed, steps, teacher) for seed in seeds] for name, teacher in taught.items()}
        for steps in budgets
    }


def weights_table(found: dict[str, Any]) -> str:
    names = list(next(iter(found.values())))
    lines = [f"| weight, temperature (bp) | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for steps, by_name in found.items():
        cells = [f"{np.mean(by_name[name]):.2f}" for name in names]
        lines.append(f"| {int(steps):,} order-steps | {' | '.join(cells)} |")
    return "\n".join(lines)


def compare_weights(args: argparse.Namespace) -> None:
    detail: dict[str, Any] = {}
    how = ((0,), WEIGHED[:1]) if args.quick else (SEEDS, WEIGHED)
    seconds = cpu_seconds(lambda: detail.update(weighed(*how)))
    last = {name: float(np.mean(each)) for name, each in detail[str(how[1][-1])].items()}
    value = last[f"{TEACHER.weight:g}, {TEACHER.temperature:g}"]
    outcome = Outcome(
        work=f"PPO taught with weight {TEACHER.weight:g} and temperature {TEACHER.temperature:g} bp, days to choose by",
        value=value,
        unit="bp of price advantage",
        goal=last["none"],
        met=value >= last["none"],
        detail={"by_order_steps": detail, "cpu_s": round(seconds, 1), "peak_mb": round(peak_mb())},
    )
    if args.save and not args.quick:
        between_marks(PAGE, {"weights": weights_table(detail)})
    conclude(args, "execution_teachers_weights", outcome)


def main() -> None:
    made = parser(__doc__ or "")
    made.add_argument("--weights", action="store_true", help="compare weights and temperatures instead")
    args = made.parse_args()
    libraries_here()
    if args.weights:
        compare_weights(args)
        return
    how = ((0,), BUDGETS[:1], 10_000) if args.quick else (SEEDS, BUDGETS, TAUGHT_FOR)
    detail: dict[str, Any] = {}
    seconds = cpu_seconds(lambda: detail.update(compared(*how)))
    share = float(np.mean(detail["share_of_optimum"][JUDGED][str(BUDGETS[0])]))
    outcome = Outcome(
        work=f"PPO with a trained teacher, {BUDGETS[0]:,} order-steps on generated days",
        value=share,
        unit="of the optimum's advantage over TWAP",
        goal=GOAL,
        met=share >= GOAL,
        detail=detail | {"cpu_s": round(seconds, 1), "peak_mb": round(peak_mb())},
    )
    if args.save and not args.quick:
        between_marks(PAGE, {"teachers": table(detail)})
    conclude(args, "execution_teachers", outcome)


if __name__ == "__main__":
    main()
