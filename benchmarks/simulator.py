"""1,000 seeds of the whole system over a bad line. Goal: none fails.

Each seed draws a market, an account and components; its bars are delayed, doubled, corrected, damaged and lost on their
way; the session is run twice, from its own record, through kills and restarts, and with a component that fails. Every
event is checked against books kept beside the ledger's. See `tests/chaos`. A failure names its seed and how to run it.
"""

import asyncio
import sys
from collections import Counter
from pathlib import Path

from measure import Outcome, arguments, conclude, cpu_seconds, peak_mb

SEEDS, QUICK = 1000, 100


def main() -> int:
    args = arguments(__doc__ or "")
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the simulator is part of the tests
    from tests.chaos.auditor import ViolationError
    from tests.chaos.simulate import simulate

    seeds = QUICK if args.quick else SEEDS
    failed: list[int] = []
    seen: Counter[str] = Counter()

    def all_of_them() -> None:
        for seed in range(seeds):
            try:
                found = asyncio.run(simulate(seed))
            except ViolationError as error:
                failed.append(seed)
                print(error, file=sys.stderr)
                continue
            seen.update({name: count for name, count in found.items() if isinstance(count, int)})
            seen["failed_components"] += bool(found["failed"])

    seconds = cpu_seconds(all_of_them)
    outcome = Outcome(
        work=f"{seeds} seeds of the whole system",
        value=len(failed),
        unit="seeds that fail",
        goal=0,
        met=not failed,
        detail={
            "failed": failed[:20],
            "cpu_s": round(seconds, 1),
            "seen": dict(sorted(seen.items())),
            "peak_mb": round(peak_mb()),
        },
    )
    conclude(args, "simulator", outcome)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
