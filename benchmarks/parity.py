"""Recorded live sessions over a faulty feed, cut off on the way, with a model swapped: how many are proven the same.

Each is read back and verified from its start and from a snapshot, run as it was seen, and on what is known by now.
Goal: all 20 (`--quick`: 2). Needs a broker: the one that SAMEWIRE_KAFKA names, else the local one.
"""

import asyncio
import contextlib
import io
import os
import sys
import tempfile
from pathlib import Path

import msgspec
from measure import Outcome, arguments, conclude

sys.path.insert(0, str(Path(__file__).parent.parent))

from adapters.kafka.address import found
from tests.samewire.live.faulty import Outcome as Session
from tests.samewire.live.faulty import session


async def sessions(count: int, address: str) -> list[Session]:
    """One after the other; what the commands print is left out."""
    done = []
    for seed in range(count):
        with tempfile.TemporaryDirectory(prefix="parity-") as folder, contextlib.redirect_stdout(io.StringIO()):
            each = await session(Path(folder), address, f"parity-{os.getpid():x}-{seed}", seed)
        sys.stderr.write(f"{each}\n")
        done.append(each)
    return done


def main() -> None:
    args = arguments(__doc__ or "")
    known = found()
    if known is None:
        raise SystemExit("no broker is there; start one with: python tools/kafka/broker.py start")
    count = 2 if args.quick else 20
    done = asyncio.run(sessions(count, known.address))
    proven = sum(each.identical for each in done)
    outcome = Outcome(
        work=f"{count} recorded live sessions with late, doubled, corrected and dropped bars, restarts and a new model",
        value=proven,
        unit="sessions proven the same",
        goal=count,
        met=proven == count,
        detail={
            "restarts": sum(each.restarts for each in done),
            "late_bars": sum(each.late for each in done),
            "slices": sum(each.slices for each in done),
            "sessions": [msgspec.to_builtins(each) for each in done],
        },
    )
    conclude(args, "parity", outcome)


if __name__ == "__main__":
    main()
