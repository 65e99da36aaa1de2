"""The command line as a process of its own that need not import anything: forked from one that has, and then waits.

Such a process has run nothing, so no test sees what another one left. What it cannot show is that a command imports all
that it needs: each command has a test that starts an interpreter (`started`), and every test does with
SAMEWIRE_FRESH_PROCESSES=1.
"""

import atexit
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from select import select
from typing import Any

ROOT = Path(__file__).parent.parent.parent
PACKAGES = ("engine", "components", "adapters", "samewire")
LIBRARIES = ("pandas", "pyarrow.parquet", "pyarrow.compute", "pyarrow.csv", "scipy.sparse", "lightgbm", "rich.console")
SECONDS_MAX = 600  # a limit for what hangs: on a busy machine a demo took longer than two minutes


def called(
    arguments: list[str], cwd: Path | None, environ: Mapping[str, str], *, started: bool = False, merged: bool = False
) -> subprocess.CompletedProcess[str]:
    """Exit code and output of `python -m samewire`, as `subprocess.run` has them.

    With `started` of a new interpreter; with `merged` standard error is part of the output.
    Raises: TimeoutExpired after ten minutes.
    """
    if started or os.environ.get("SAMEWIRE_FRESH_PROCESSES") or not hasattr(os, "fork"):
        command = [sys.executable, "-m", "samewire", *arguments]
        err = subprocess.STDOUT if merged else subprocess.PIPE
        return subprocess.run(
            command,
            cwd=cwd,
            env=dict(environ),
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
    with tempfile.TemporaryDirectory() as folder:
        out, said = Path(folder) / "out", Path(folder) / ("out" if merged else "err")
        asked = {"arguments": arguments, "cwd": str(cwd or Path.cwd()), "environ": dict(environ)}
        code = _answer(asked | {"out": str(out), "err": str(said)})
        return subprocess.CompletedProcess(arguments, code, out.read_text(), "" if merged else said.read_text())


def _answer(asked: dict[str, Any]) -> int:
    waiting = _waiting()
    assert waiting.stdin is not None
    assert waiting.stdout is not None
    waiting.stdin.write(json.dumps(asked) + "\n")
    waiting.stdin.flush()
    if not select([waiting.stdout], [], [], SECONDS_MAX)[0]:
        waiting.kill()
        _waiting.cache_clear()
        raise subprocess.TimeoutExpired(asked["arguments"], SECONDS_MAX)
    return int(waiting.stdout.readline())


@cache
def _waiting() -> "subprocess.Popen[str]":
    """The process that forks; it ends with the one that asks it."""
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.samewire.forked"]
    started = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end() -> None:
        started.communicate()

    atexit.register(end)
    return started


def _serve() -> None:
    for name in PACKAGES:
        package = import_module(name)
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not found.name.endswith("__main__"):
                import_module(found.name)
    for name in LIBRARIES:
        import_module(name)
    plain = [place for place in sys.path if place not in ("", str(ROOT))]
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _become(asked, plain)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(asked: dict[str, Any], plain: list[str]) -> None:
    """What the interpreter does between its start and the first line of `python -m samewire`, then that."""
    from samewire.cli import main

    for number, path in ((1, asked["out"]), (2, asked["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    sys.dont_write_bytecode = True  # a module that a test writes again within a second must not be taken for the first
    named = [place for place in asked["environ"].get("PYTHONPATH", "").split(os.pathsep) if place]
    sys.path[:] = [asked["cwd"], *named, *plain]
    sys.argv[:] = ["samewire", *asked["arguments"]]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - it stays open until the process ends, as the other two do
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    code = 1
    try:
        code = main(asked["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - it must not go on as the process that waits
        sys.excepthook(*sys.exc_info())
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
