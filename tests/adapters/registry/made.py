"""A clock that moves by itself, and a registry that its own kills go through."""

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from components.models.artefact import artefact_of
from samewire.artefacts import registry_at

OLD, NEW = (artefact_of({"model.txt": text * 50, "model.json": b"{}"}) for text in (b"old", b"new"))


class Ticking:
    """A second later whenever it is asked."""

    def __init__(self) -> None:
        self._now = 1_700_000_000_000_000_000

    def now_ns(self) -> int:
        self._now += 1_000_000_000
        return self._now

    def cpu_ns(self) -> int:
        return self._now

    def monotonic_ns(self) -> int:
        return self._now


def two(folder: Path) -> None:
    """The step that is killed: another artefact comes, and takes the place of the old one."""
    registry = registry_at(folder, clock=Ticking())
    registry.register("gbdt", NEW)
    registry.promote("gbdt", NEW.hash, "production", actor="ann", reason="better")


def one(folder: Path) -> None:
    registry = registry_at(folder, clock=Ticking())
    registry.register("gbdt", OLD)
    registry.promote("gbdt", OLD.hash, "production", actor="ann", reason="first")


def killed_at(k: int, step: Callable[[], Any], within: Path) -> bool:
    """Runs the step in a child that kills itself at its k-th access to the folder; False when it came through."""
    child = os.fork()
    if not child:
        left, place = [k], str(within)

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            near = event == "fcntl.flock" or (arguments and place in str(arguments[0])) or event == "os.truncate"
            if near and event.startswith(("open", "os.", "fcntl.", "shutil.")):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)
        with contextlib.suppress(BaseException):
            step()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return os.WIFSIGNALED(status)


def main(folder: Path) -> int:
    """Kills the step at every one of its accesses. After each the registry is as before or as after, and goes on."""
    kills, seen = 0, set()
    while True:
        place = folder / str(kills)
        one(place)
        came_through = not killed_at(kills + 1, lambda: two(place), place)  # noqa: B023 - called at once
        registry = registry_at(place, clock=Ticking())
        now = registry.resolve("gbdt", "production")
        assert now.hash in (OLD.hash, NEW.hash)
        assert now.files in (OLD.files, NEW.files)
        assert registry.audit().faults == ()
        seen.add((now.hash, len(registry.history("gbdt"))))
        two(place)
        assert registry.resolve("gbdt", "production").files == NEW.files
        assert registry.audit().left == ()
        if came_through:
            break
        kills += 1
    states = sorted(count for _, count in seen)
    print(kills, states)  # noqa: T201 - what the test reads
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
