"""Kills of a live session on Kafka: a daemon with a model, an optimizer and the paper broker is killed with `kill -9`
at named points and at random, its broker too, and what it committed is compared byte for byte with what an undisturbed
session commits. Goal: not one record lost, doubled or different; three daemons that are built wrongly are found out.

A full run is 504 kills over 20,000 bars at a time, and three of a broker of its own; `--kills`, `--seed` for others.
"""

import os
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from measure import Outcome, conclude, parser

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgspec

from tests.chaos.live.campaign import Plan, Tally, kill_again_and_again, told
from tests.chaos.live.ground import Difference, Ground, Left, Victims, compare
from tests.chaos.live.market import Market
from tests.chaos.live.points import POINTS, Spoil
from tools.kafka.broker import Broker

SHORT = Market(slices=60)
PER_SESSION = 60  # kills of a session
CONTROLS: dict[str, tuple[str, ...]] = {
    "commit_first": (),
    "read_uncommitted": ("commit:before", "ack:after"),
    "without_transactions": ("send:after", "ack:after"),
}


class Arena:
    """A broker of its own, a process that forks daemons, and what undisturbed sessions leave."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.broker = folder, Broker(folder / "broker")
        self.address = self.broker.start(owner=os.getpid())
        self.victims = Victims(self.address)
        self._calm: dict[Market, Left] = {}
        self._count = 0

    def ground(self, market: Market) -> Ground:
        self._count += 1
        return Ground(self.address, f"b{self._count}", market, self.folder, self.victims).prepare(batch_ms=0)

    def calm(self, market: Market) -> Left:
        if market not in self._calm:
            ground = self.ground(market)
            ground.publish()
            if (code := self.victims.run(ground.order())) != 0:
                raise SystemExit(f"the undisturbed session ended with {code}: {told(ground)}")
            self._calm[market] = ground.left()
        return self._calm[market]

    def close(self) -> None:
        self.victims.close()
        self.broker.destroy()


def sessions(arena: Arena, kills: int, seed: int, slices: int) -> tuple[Tally, Difference]:
    """As many sessions as it takes, each killed again and again; every other one fed while it runs."""
    whole, worst, turn = Tally(), Counter[str](), 0
    while whole.kills < kills:
        wanted = min(PER_SESSION, kills - whole.kills)
        market = Market(slices=slices)
        longest = max(3, int(1.3 * slices / wanted))
        plan = Plan(
            kills=wanted - 1,
            seed=seed + turn,
            longest=longest,
            batches_ms=(0, 0, 20, 100),
            rate=2_000.0 if turn % 2 else 0.0,
        )
        ground = arena.ground(market)
        tally = kill_again_and_again(ground, plan)
        found = compare(arena.calm(market), ground.left())
        worst.update({name: int(getattr(found, name)) for name in ("lost", "doubled", "different")})
        worst["disordered"] += len(found.disordered)
        worst["digests"] += not found.digests
        added(whole, tally)
        turn += 1
        said = {
            "session": turn,
            "kills": whole.kills,
            "killed": dict(sorted(tally.killed.items())),
            **found_words(found),
        }
        print(said, *told(ground), flush=True)
    return whole, Difference(
        worst["lost"], worst["doubled"], worst["different"], ("",) * worst["disordered"], not worst["digests"]
    )


def added(whole: Tally, tally: Tally) -> None:
    whole.lives += tally.lives
    whole.killed += tally.killed
    whole.codes += tally.codes
    whole.ready_s += tally.ready_s
    whole.inputs += tally.inputs
    whole.cpu_s += tally.cpu_s


def found_words(found: Difference) -> dict[str, Any]:
    return msgspec.to_builtins(found)


def broker_killed(arena: Arena, times: int, seed: int) -> tuple[Difference, list[int]]:
    """The broker dies under load; the daemon goes on, or leaves with 5 and is started again."""
    market = Market(slices=100 + 150 * times)
    calm, ground = arena.calm(market), arena.ground(market)
    feeding = threading.Thread(target=ground.publish, kwargs={"rate": 1_000.0})
    feeding.start()
    pid, codes = arena.victims.start(ground.order()), list[int]()
    for k in range(times):
        time.sleep(3.0 + (seed + k) % 3)
        arena.broker.kill()
        arena.broker.start()
    while (code := arena.victims.code(pid)) == 5 and len(codes) < 10:
        codes.append(code)
        pid = arena.victims.start(ground.order())
    feeding.join()
    return compare(calm, ground.left()), [*codes, code]


def controls(arena: Arena, names: list[str], seed: int) -> dict[str, list[int]]:
    """(lost, doubled, different) of daemons that are built wrongly."""
    found = {}
    for name in names:
        ground = arena.ground(SHORT)
        if name == "commit_first":
            ground.publish()
            arena.victims.run(ground.order(broken=name, spoil=Spoil("orders", 5)))
        else:
            kill_again_and_again(ground, Plan(kills=8, seed=seed, longest=5, broken=name, points=CONTROLS[name]))
        found[name] = list(compare(arena.calm(SHORT), ground.left()).counts)
    return found


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--kills", type=int, default=0, help="of daemons; 0 = 504, 5 with --quick")
    options.add_argument("--seed", type=int, default=1)
    args = options.parse_args()
    kills = args.kills or (5 if args.quick else 504)
    with tempfile.TemporaryDirectory() as folder:
        arena = Arena(Path(folder))
        try:
            tally, found = sessions(arena, kills, args.seed, 60 if args.quick else 400)
            seen = controls(arena, ["read_uncommitted"] if args.quick else list(CONTROLS), args.seed)
            died, codes = (found, [0]) if args.quick else broker_killed(arena, 3, args.seed)
        finally:
            arena.close()
    rare = [point for point in POINTS if tally.killed[point] < 3]
    wrong = sum(found.counts) + sum(died.counts) + len(found.disordered) + (not found.digests)
    ready = sorted(tally.ready_s)
    outcome = Outcome(
        work=f"{tally.kills} kills of a live session, {0 if args.quick else 3} of its broker",
        value=wrong,
        unit="records lost, doubled or different",
        goal=0,
        met=wrong == 0 and codes[-1] == 0 and all(map(any, seen.values())) and (args.quick or not rare),
        detail={
            "killed": dict(sorted(tally.killed.items())),
            "ended_otherwise": {str(code): count for code, count in sorted(tally.codes.items())},
            "controls": seen,
            "broker": {"difference": found_words(died), "codes": codes},
            "ready_s_median": round(ready[len(ready) // 2], 3),
            "ready_s_worst": round(ready[-1], 3),
            "inputs_again_worst": max(tally.inputs),
            "cpu_s_a_life": round(tally.cpu_s / tally.lives, 3),
            "seed": args.seed,
        },
    )
    conclude(args, "chaos", outcome)


if __name__ == "__main__":
    main()
