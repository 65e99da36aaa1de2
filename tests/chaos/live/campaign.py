"""A session that is killed again and again until it has come to its end."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np

from tests.chaos.live.ground import Ground, kill
from tests.chaos.live.points import COMMIT_PATH, POINTS, START_PATH, Crash
from tests.chaos.live.victim import Order

_SIGKILL, _CHANGED = -9, 2
_OVER = "it came to its end"
AT_RANDOM = "at random"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a session is killed: `kills` times, in turn at each of `points`, a life of up to `longest` transactions."""

    kills: int
    seed: int
    longest: int
    points: tuple[str, ...] = (*POINTS, AT_RANDOM)
    broken: str = ""
    rate: float = 0.0  # bars a second that are published while it runs, 0 = all beforehand
    batches_ms: tuple[int, ...] = (0,)  # one of these each life


class Tally(msgspec.Struct, kw_only=True):
    """What became of it."""

    lives: int = 0
    killed: Counter[str] = msgspec.field(default_factory=Counter)
    codes: Counter[int] = msgspec.field(default_factory=Counter)  # of lives that ended otherwise
    ready_s: list[float] = []
    inputs: list[int] = []
    cpu_s: float = 0.0

    @property
    def kills(self) -> int:
        return self.killed.total()


def crashes(plan: Plan) -> Iterator[Crash | None]:
    """One for each life. None: killed from outside, some time after it began."""
    luck = np.random.default_rng(plan.seed)
    points = list(plan.points)
    for k in range(plan.kills):
        if k % len(points) == 0:
            luck.shuffle(points)
        point = points[k % len(points)]
        if point == AT_RANDOM:
            yield None
        elif point in START_PATH:
            yield Crash(point=point, nth=int(luck.integers(1, 4)) if point == "read:journal" else 1)
        else:
            yield Crash(
                point=point,
                transaction=int(luck.integers(2, plan.longest + 1)),
                nth=int(luck.integers(1, 5)) if point.startswith(("send", "ack")) else 1,
                after_us=int(luck.integers(1_500)),
                pause_us=int(luck.choice((0, 2_000, 10_000))),
            )


def kill_again_and_again(
    ground: Ground, plan: Plan, between: Callable[[int], None] = lambda life: None, *, published: bool = False
) -> Tally:
    """Until the session has ended, or lives that no crash befell fail; the points that were not met are not counted."""
    luck, tally = np.random.default_rng(plan.seed + 1), Tally()
    feeding, used = None, ground.victims.cpu_s
    if plan.rate:
        feeding = threading.Thread(target=ground.publish, kwargs={"rate": plan.rate})
        feeding.start()
    elif not published:
        ground.publish()
    waiting, failures = crashes(plan), 0
    begun = False
    while failures < 4:
        crash = next(waiting, None) if begun else None  # the first life begins the session
        random_kill = begun and crash is None and tally.lives <= plan.kills
        order = ground.order(
            crash=crash if begun or not plan.kills else Crash(point=COMMIT_PATH[plan.seed % 8], transaction=3),
            broken=plan.broken,
            live={"batch_ms": int(luck.choice(plan.batches_ms))},
        )
        between(tally.lives)
        code = _life(ground, order, luck.uniform(0.05, 0.6) if random_kill else None)
        begun = True
        tally.lives += 1
        if code == _CHANGED and _OVER in ground.said("failed")[-1]["text"]:
            code = 0  # it was killed behind its last transaction
        if code == _SIGKILL:
            tally.killed[AT_RANDOM] += order.crash is None
        else:
            tally.codes[code] += 1
            failures += code != 0
        if code == 0:
            break
    if feeding is not None:
        feeding.join()
    tally.killed.update(line["point"] for line in ground.said("killed"))
    tally.cpu_s = ground.victims.cpu_s - used
    for ready in ground.said("session.ready"):
        tally.ready_s.append(ready["took_s"])
        tally.inputs.append(ready["inputs"])
    return tally


def _life(ground: Ground, order: Order, kill_after_s: float | None) -> int:
    if kill_after_s is None:
        return ground.victims.run(order)
    pid = ground.victims.start(order)
    time.sleep(kill_after_s)
    kill(pid)
    return ground.victims.code(pid)


def told(ground: Ground) -> list[dict[str, Any]]:
    """What went wrong in the eyes of the daemons."""
    lines = [line for line in ground.said() if line["what"] in ("failed", "crashed")]
    return [line for line in lines if _OVER not in line["text"]]
