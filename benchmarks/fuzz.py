"""Fuzzes the parsers of journals and run files with atheris. Goal: no crash in a million inputs each, or in an hour.

Needs `make fuzz`. Each target runs in a process of its own, side by side, from the corpus in `tests/fuzz`; see
`targets.py` there for what it takes. An input that breaks one is printed, and kept in the folder named with it: put it
into the corpus.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from measure import Outcome, arguments, conclude

ROOT = Path(__file__).parents[1]
NAMES = ("journal_file", "journal_blocks", "run_file")
INPUTS, HOUR_S, QUICK_S = 1_000_000, 3600, 20


def fuzz(name: str, options: list[str]) -> None:
    """One target in this process, until libFuzzer ends it."""
    import atheris

    sys.path.insert(0, str(ROOT))
    with atheris.instrument_imports(include=["engine", "adapters", "samewire", "yaml"]):
        from samewire import reading, trial
        from tests.fuzz.targets import survives
    # A schema follows from its class alone and costs more than all the rest.
    reading.schema_of = trial.schema_of = cache(reading.schema_of)  # type: ignore[attr-defined]
    atheris.Setup([sys.argv[0], *options], lambda content: survives(name, content))
    atheris.Fuzz()


def watched(name: str, quick: bool) -> dict[str, Any]:
    """Runs one target in a process of its own and reads what libFuzzer says of it."""
    kept = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    folders = [str(kept), str(ROOT / "tests/fuzz/corpus" / name)]
    if name == "run_file":
        folders += [str(ROOT / "configs"), str(ROOT / "tests/samewire/bad")]
    limit = [f"-max_total_time={QUICK_S}"] if quick else [f"-runs={INPUTS}", f"-max_total_time={HOUR_S}"]
    options = [*limit, "-max_len=8192", "-timeout=60", "-rss_limit_mb=4096", "-print_final_stats=1"]
    options += [f"-artifact_prefix={kept}/", *folders]
    command = [sys.executable, __file__, "--target", name, *options]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    runs = re.findall(r"stat::number_of_executed_units:\s+(\d+)", done.stderr)
    coverage = re.findall(r"cov: (\d+)", done.stderr)
    found: dict[str, Any] = {"inputs": int(runs[-1]) if runs else 0, "edges": int(coverage[-1]) if coverage else 0}
    found["wall_s"] = round(time.monotonic() - began)
    if done.returncode:
        print(f"{name}: an input breaks it, kept in {kept}\n{done.stderr[-3000:]}", file=sys.stderr)
        found["crash"] = str(kept)
    return found


def met(found: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether every parser took a million inputs, or inputs for an hour, and none broke it."""
    return set(found) == set(NAMES) and all(
        "crash" not in each and each["inputs"] > 0 and (each["inputs"] >= INPUTS or each["wall_s"] >= HOUR_S)
        for each in found.values()
    )


def main() -> int:
    if sys.argv[1:2] == ["--target"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    args = arguments(__doc__ or "")
    if find_spec("atheris") is None:
        print("fuzz: atheris is not installed; run `make fuzz` first", file=sys.stderr)
        return 2
    with ThreadPoolExecutor(len(NAMES)) as beside:  # each waits for a process of its own
        found = dict(zip(NAMES, beside.map(lambda name: watched(name, args.quick), NAMES), strict=True))
    crashes = [name for name, each in found.items() if "crash" in each]
    outcome = Outcome(
        work=f"{sum(each['inputs'] for each in found.values()):,} inputs for {len(NAMES)} parsers",
        value=len(crashes),
        unit="parsers that break",
        goal=0,
        met=met(found),
        detail=found | {"atheris": metadata.version("atheris")},
    )
    conclude(args, "fuzz", outcome)
    return 1 if crashes else 0


if __name__ == "__main__":
    sys.exit(main())
