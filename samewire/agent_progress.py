"""How far agents are while they learn: read from the store, where all executors leave it."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from adapters.tracking.store import RunStore
from engine.errors import SamewireError

EVERY_S = 2.0


@contextlib.contextmanager
def told_how_far(
    store: Path, columns: Mapping[str, str], steps: int, tell: Callable[[str], None], every_s: float = EVERY_S
) -> Iterator[None]:
    """Within it `tell` hears of each of these runs (id to column) whenever it was validated once more, and at last."""
    ended = threading.Event()
    heard: dict[str, int] = {}

    def watch() -> None:
        while not ended.wait(every_s):
            _look(store, columns, steps, tell, heard)

    thread = threading.Thread(target=watch, name="agents", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _look(store, columns, steps, tell, heard)


def _look(
    store: Path, columns: Mapping[str, str], steps: int, tell: Callable[[str], None], heard: dict[str, int]
) -> None:
    """What was not read now is read the next time."""
    with contextlib.suppress(SamewireError), closing(RunStore(store, create=False)) as runs:
        for run in [row.id for row in runs.runs() if row.id in columns]:
            seen, found = runs.metrics(run, "steps"), runs.metrics(run, "val/net")
            if seen and found and found[-1][0] > heard.get(run, -1):
                heard[run] = found[-1][0]
                value = "-" if found[-1][1] is None else f"{found[-1][1]:.2f}"
                tell(f"{columns[run]}  {seen[-1][1] or 0:,.0f} of {steps:,} order-steps, val/net {value} bp")
