"""One training as a job: built, fitted, recorded. Runs in the process of whoever plans, or in a worker."""

import fcntl
import io
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.scaleout.calls import one_line
from adapters.tracking.panel_file import read_panel
from adapters.tracking.store import RunRow, RunStore
from components.models.artefact import read_artefact, restore_artefact
from components.training.fitting import Trained, train_task
from engine.errors import LookAheadError, StateError
from engine.learning import Task
from samewire.build import construct
from samewire.hiding import hider, hiding
from samewire.prepare import feed_of
from samewire.scrubbing import raise_scrubbed
from samewire.secret_guard import refuse_artefact
from samewire.training_plan import given_of, panel_of
from samewire.universes import universe_from

PREDICTIONS, ARTEFACTS = "predictions.parquet", "artefacts"


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is told. `run` is a run file in plain words; secrets stand in it by reference only."""

    run: dict[str, Any]
    task: Task
    run_id: str
    facts: dict[str, Any]
    universe: dict[str, Any]
    panel: str
    store: str
    allow: tuple[str, ...] | None = None


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a training that was carried out: the artefact's hash, or how its model saw later slices."""

    artefact: str = ""
    look_ahead: str = ""


def carry_out(argument: bytes) -> bytes:
    """Trains as assigned; returns a `Came`. What another process has done meanwhile is not done again."""
    with hiding():
        try:
            return msgspec.json.encode(_carried_out(msgspec.json.decode(argument, type=Assignment)))
        except LookAheadError as error:
            return msgspec.json.encode(Came(look_ahead=hider()(one_line(error))))
        except Exception as error:  # noqa: BLE001 - raised again without secrets
            raise_scrubbed(error, hider())


def _carried_out(told: Assignment) -> Came:
    store_folder = Path(told.store)
    with closing(RunStore(store_folder)) as store, alone(store_folder / "work", told.run_id) as checkpoint:
        ended = ended_whole(store, told.run_id)
        if ended is not None:
            return Came(artefact=str(ended.outcome["artefact"]))
        run = store.begin(told.task.key, told.facts)
        panel = panel_of(read_panel(Path(told.panel)))
        trained = train_task(
            _maker(told), told.task, panel, on_metric=lambda metric: store.log(run, [metric]), checkpoint=checkpoint
        )
        refuse_artefact(told.task.model, trained.artefact, hider())
        restore_artefact(trained.artefact, store_folder / ARTEFACTS / trained.artefact.hash)
        store.keep(run, PREDICTIONS, predictions(trained, panel.symbols))
        store.end(run, "end", {"artefact": trained.artefact.hash, "slices": len(trained.ts)})
        return Came(artefact=trained.artefact.hash)


@contextmanager
def alone(folder: Path, run: str) -> Iterator[Path]:
    """The folder of a training that no other process uses meanwhile. It stays when this one is killed or fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{run}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        checkpoint = folder / run
        checkpoint.mkdir(exist_ok=True)
        yield checkpoint
        shutil.rmtree(checkpoint, ignore_errors=True)


def ended_whole(store: RunStore, run: str) -> RunRow | None:
    """The run if it came to its end and all that it left is there as it was written."""
    row = store.ended(run)
    if row is None:
        return None
    try:
        read_artefact(store.folder / ARTEFACTS / str(row.outcome.get("artefact")))
    except StateError:
        return None
    return row


def _maker(told: Assignment) -> Callable[[], Any]:
    """Makes the model as the run file has it at this point of its grid."""
    from samewire.schema import load_run

    run = load_run(told.run, allow=told.allow)
    component = next(spec.component for spec in run.models if spec.component.name == told.task.model)
    given = given_of(run, component, told.task.seed, universe_from(told.universe), lambda: feed_of(run))
    return lambda: construct(component, given)


def predictions(trained: Trained, symbols: tuple[str, ...]) -> bytes:
    """The scores as a Parquet table (ts, symbol, score); a name without an opinion has no row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    slices, names = np.nonzero(np.isfinite(trained.scores))
    columns = {
        "ts": pa.array(trained.ts[slices], pa.int64()).cast(pa.timestamp("ns", "UTC")),
        "symbol": pa.array(np.asarray(symbols)[names], pa.string()).dictionary_encode(),
        "score": trained.scores[slices, names],
    }
    out = io.BytesIO()
    pq.write_table(pa.table(columns), out, compression="zstd")
    return out.getvalue()


def scores_of(content: bytes, ts: Any, symbols: tuple[str, ...]) -> Any:
    """(S, N) scores of these slices out of such a table, NaN where there is no row."""
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    value = np.full((len(ts), len(symbols)), np.nan)
    rows = np.searchsorted(ts, table["ts"].to_numpy().astype(np.int64))
    place = {symbol: n for n, symbol in enumerate(symbols)}
    columns = [place[symbol] for symbol in table["symbol"].to_pylist()]
    value[rows, columns] = table["score"].to_numpy()
    return value
