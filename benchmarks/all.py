"""Runs the benchmarks, each in a process of its own, and prints a table. --quick and --save are handed on.

Those that take minutes come with `--slow` alone.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
NAMES = (
    *("bus", "topk", "orders", "ema_cross", "slicer", "simulator", "startup", "sp500"),
    *("features", "gbdt", "alstm", "tracking", "optimizer_risk", "optimizer_program", "optimizer_kernel", "optimizer"),
    *("execution_env", "decision"),
)
SLOW = ("execution_agent", "execution_real", "execution_teachers")


def main() -> int:
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    failed = 0
    handed = [arg for arg in sys.argv[1:] if arg != "--slow"]
    for name in (*NAMES, *SLOW) if "--slow" in sys.argv else NAMES:
        extra = ["--journal"] if name == "topk" else []
        command = [sys.executable, str(HERE / f"{name}.py"), *handed, *extra]
        done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name:10} failed: {done.stderr.strip().splitlines()[-1]}")
            failed += 1
            continue
        result = json.loads(done.stdout.splitlines()[-1])
        value, goal = f"{result['value']:,.4g} {result['unit']}", f"{result['goal']:,.4g}"
        print(f"{name:10} {value:>40}  goal {goal:<8} {'met' if result['met'] else 'MISSED':7} {result['work']}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
