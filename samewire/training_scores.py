"""The scores of trainings by column, and the table of them that a session can replay."""

import io
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from adapters.files.origin import Origin, with_origin
from engine.events import Matrix, Stamps
from engine.instants import day_text
from samewire.leaks import Leaks
from samewire.training_leaks import sentence_of
from samewire.training_plan import Plan, Planned


class ScoredPart(msgspec.Struct, frozen=True, eq=False):
    """The scores of a task, or of those of its blocks that belong to one path, with the coefficients of its slices."""

    planned: Planned
    column: str
    ts: Stamps  # (S,)
    scores: Matrix  # (S, N)
    label: Matrix  # (S, N)
    ic: Matrix  # (S,)
    rank_ic: Matrix  # (S,)


def by_column(scored: Sequence[ScoredPart]) -> dict[str, list[ScoredPart]]:
    found: dict[str, list[ScoredPart]] = {}
    for each in scored:
        found.setdefault(each.column, []).append(each)
    return found


def origin_of_scores(scored: Sequence[ScoredPart], split: str, verdict: Leaks | None) -> Origin:
    ends = {
        column: day_text(max(each.planned.task.train.until for each in group) - 1)
        for column, group in by_column(scored).items()
    }
    return Origin(
        split=split,
        leaks=sentence_of(verdict),
        leaked=bool(verdict and verdict.found),
        looked=verdict is not None,
        learned_until=ends,
    )


def scores_table(scored: Sequence[ScoredPart], plan: Plan, origin: Origin) -> bytes:
    """Parquet of ts, symbol and a column of scores a training; what `models: {use: scores}` replays.

    Its metadata say how they were made.

    Test parts lie side by side, so each name of each slice has one score of each column, or none.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    ts = np.unique(np.concatenate([each.ts for each in scored]))
    symbols = plan.feed.universe.symbols
    columns: dict[str, Any] = {}
    for column, group in by_column(scored).items():
        value = np.full((len(ts), len(symbols)), np.nan)
        for each in group:
            value[np.searchsorted(ts, each.ts)] = each.scores
        columns[column] = value.reshape(-1)
    some = np.any([np.isfinite(value) for value in columns.values()], axis=0)
    index = np.flatnonzero(some)
    made = {
        "ts": pa.array(ts[index // len(symbols)], pa.int64()).cast(pa.timestamp("ns", "UTC")),
        "symbol": pa.array(np.asarray(symbols)[index % len(symbols)], pa.string()).dictionary_encode(),
        **{column: pa.array(value[index], from_pandas=True) for column, value in columns.items()},
    }
    out = io.BytesIO()
    pq.write_table(with_origin(pa.table(made), origin), out, compression="zstd")
    return out.getvalue()
