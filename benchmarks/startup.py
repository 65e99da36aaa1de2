"""Starting the command line. Goals: `--help` under 0.7 s and `check` under 1 s of CPU."""

import resource
import subprocess
import sys
from pathlib import Path

from measure import Outcome, arguments, conclude

ROOT = Path(__file__).parent.parent
COMMANDS = {"help": (["--help"], 0.7), "check": (["check", str(ROOT / "configs" / "demo.yaml")], 1.0)}


def child_cpu_seconds(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "samewire", *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    args = arguments(__doc__ or "")
    rounds = 3 if args.quick else 9
    best = {name: min(child_cpu_seconds(command) for _ in range(rounds)) for name, (command, _) in COMMANDS.items()}
    outcome = Outcome(
        work="samewire --help and samewire check, a fresh process each",
        value=best["check"],
        unit="CPU s",
        goal=COMMANDS["check"][1],
        met=all(best[name] <= goal for name, (_, goal) in COMMANDS.items()),
        detail={name: round(seconds, 3) for name, seconds in best.items()} | {"help_goal": COMMANDS["help"][1]},
    )
    conclude(args, "startup", outcome)


if __name__ == "__main__":
    main()
