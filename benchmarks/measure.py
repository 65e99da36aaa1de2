"""What every benchmark shares: its arguments, CPU seconds, versions, and the one line of JSON it ends with."""

import argparse
import json
import os
import platform
import resource
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

RESULTS = Path(__file__).parent / "results"


def parser(description: str) -> argparse.ArgumentParser:
    """`--quick` for a run of under a minute, `--peers` for other engines beside us, `--save` to keep the result."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true")
    made.add_argument("--peers", action="store_true")
    made.add_argument("--save", action="store_true", help="write the result to benchmarks/results")
    made.add_argument("--journal", action="store_true")
    return made


def arguments(description: str) -> argparse.Namespace:
    return parser(description).parse_args()


def cpu_seconds(work: Callable[[], Any]) -> float:
    """CPU seconds of this process, all threads, that a call takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def best_and_median(work: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """CPU seconds of the best and of the median round. The best is the code, the rest is the machine."""
    seconds = sorted(cpu_seconds(work) for _ in range(rounds))
    return seconds[0], seconds[len(seconds) // 2]


def in_turn(works: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each work, ascending, one round of all after another: what the machine does meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            seconds[name].append(cpu_seconds(work))
    return {name: sorted(found) for name, found in seconds.items()}


def peak_mb() -> float:
    """Largest resident set of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def versions(*names: str) -> dict[str, str]:
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


class Outcome(msgspec.Struct, kw_only=True):
    """What a benchmark found. `goal` is in `unit`; `met` says whether the value is on its right side."""

    work: str
    value: float
    unit: str
    goal: float
    met: bool
    peers: dict[str, Any] = {}
    detail: dict[str, Any] = {}


def between_marks(path: Path, parts: Mapping[str, str]) -> None:
    """Puts each text into a page, between its marks `<!-- name -->` and `<!-- /name -->`."""
    text = path.read_text()
    for name, part in parts.items():
        head, mark, rest = text.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition(f"<!-- /{name} -->")
        if not (mark and end):
            raise SystemExit(f"{path} has no marks <!-- {name} --> and <!-- /{name} -->")
        text = f"{head}{mark}{part}\n{end}{tail}"
    path.write_text(text)


def conclude(args: argparse.Namespace, name: str, outcome: Outcome) -> None:
    """Prints the result as the last line and, with `--save`, keeps it."""
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "")}
    result = msgspec.to_builtins(outcome)
    result["value"] = round(outcome.value, 4)
    result["detail"] |= {**machine, "versions": versions("numpy", "msgspec")}
    if args.save and not args.quick:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result))
