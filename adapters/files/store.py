"""Sorts a table by time outside memory, once, and keeps the result in a cache by content.

The cache is $SAMEWIRE_CACHE, else ~/.cache/samewire. Every file in it may be deleted at any time. A file appears there
whole or not at all; two processes that sort the same table write the same bytes, and the last to finish stays.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.files.columns import Chunk, Coder
from adapters.files.rows import Disorder, Rows, Survey, Surveyor, joined
from engine.errors import DataError

VERSION = 2  # of what stands in the cache
SORT_ROWS_MAX = 1_000_000  # rows in memory while sorting: about 60 MB, three times that at the peak
GROUP_ROWS = 65_536  # of a row group in the cache
_READ_BYTES = 1 << 20
_META = b"samewire"


def cache_folder() -> Path:
    """Where sorted tables are kept."""
    named = os.environ.get("SAMEWIRE_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "samewire"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path}: it cannot be read: {error.strerror}; check the path and its rights") from error
    return digest.hexdigest()


def cache_key(hashes: dict[str, str], *how: str) -> str:
    """Names a sorted table: by the content of its files, their order, and how they are read."""
    return hashlib.sha256(msgspec.json.encode([VERSION, list(hashes.items()), how])).hexdigest()[:40]


class Store:
    """A sorted table in the cache."""

    def __init__(self, path: Path, hashes: dict[str, str]) -> None:
        import pyarrow.parquet as pq

        self._path, self._hashes = path, hashes
        with pq.ParquetFile(path) as file:
            meta = msgspec.json.decode(file.metadata.metadata[_META])
            self._bounds = [_stamp_bounds(file.metadata.row_group(k)) for k in range(file.num_row_groups)]
        self.fields: tuple[str, ...] = tuple(meta["fields"])
        self.survey = msgspec.convert(meta["survey"], Survey)

    def hashes(self) -> dict[str, str]:
        return self._hashes

    def rows(self, low: int | None, high: int | None) -> Iterator[Rows]:
        import pyarrow.parquet as pq

        wanted = [
            k
            for k, (first, last) in enumerate(self._bounds)
            if (low is None or last >= low) and (high is None or first <= high)
        ]
        try:
            with pq.ParquetFile(self._path, page_checksum_verification=True) as file:
                for k in wanted:
                    yield _rows_of(file.read_row_group(k, use_threads=False), self.fields)
        except OSError as error:
            raise DataError(f"{self._path}: this sorted table is damaged: {error}; delete it and run again") from error


def _stamp_bounds(group: Any) -> tuple[int, int]:
    statistics = group.column(0).statistics
    return int(statistics.min), int(statistics.max)


def _rows_of(table: Any, fields: tuple[str, ...]) -> Rows:
    values = np.empty((len(fields), table.num_rows))
    for k in range(len(fields)):
        values[k] = table.column(k + 2).to_numpy()
    return Rows(table.column(0).to_numpy(), table.column(1).to_numpy(), values)


def _table_of(rows: Rows, schema: Any) -> Any:
    import pyarrow as pa

    return pa.table([rows.stamp, rows.code, *rows.values], schema=schema)


def _schema(fields: tuple[str, ...]) -> Any:
    import pyarrow as pa

    values = [(f"value{k}", pa.float64()) for k in range(len(fields))]
    return pa.schema([("stamp", pa.int64()), ("code", pa.int32()), *values])


def stored(
    chunks: Iterable[Chunk], *, fields: tuple[str, ...], dated: bool, key: str, hashes: dict[str, str], rows_max: int
) -> Store:
    """Sorts the rows by (stamp, symbol) with at most `rows_max` of them in memory; equal keys keep their order."""
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="sorting-") as scratch:
            sorter = _Sorter(Path(scratch), fields, rows_max)
            for chunk in chunks:
                sorter.add(chunk)
            written = Path(scratch) / "sorted.parquet"
            _write(written, sorter, fields, dated=dated)
            os.replace(written, folder / f"{key}.parquet")
    except OSError as error:
        raise DataError(
            f"cache {folder}: a sorted table cannot be written: {error}; set SAMEWIRE_CACHE to a folder with room"
        ) from error
    return Store(folder / f"{key}.parquet", hashes)


def found(key: str, hashes: dict[str, str]) -> Store | None:
    """The sorted table of this key; None where there is none, or one that cannot be read."""
    import pyarrow as pa

    path = cache_folder() / f"{key}.parquet"
    try:
        return Store(path, hashes) if path.is_file() else None
    except (pa.ArrowInvalid, OSError, msgspec.MsgspecError, KeyError, TypeError):
        return None


class _Sorter:
    """Runs of sorted rows: in memory while they are few, else on disk, merged block by block."""

    def __init__(self, scratch: Path, fields: tuple[str, ...], rows_max: int) -> None:
        self.coder, self.disorder = Coder(), Disorder()
        self._scratch, self._rows_max = scratch, rows_max
        self._schema = _schema(fields)
        self._held: list[Rows] = []
        self._held_rows = 0
        self._spilled: list[Path] = []

    def add(self, chunk: Chunk) -> None:
        codes = self.coder.encode(chunk.names, chunk.index)
        self.disorder.add(chunk.stamp, codes, len(self.coder))
        self._held.append(Rows(chunk.stamp, codes, chunk.values))
        self._held_rows += len(chunk.stamp)
        if self._held_rows >= self._rows_max:
            self._spill()

    def rows(self) -> Iterator[Rows]:
        """All rows in order, in pieces of any length."""
        if not self._spilled:
            if self._held:
                yield self._sorted()
            return
        if self._held:
            self._spill()
        heads = [_Head(self._read(path)) for path in self._spilled]
        while heads:
            # Every run's rows up to the least of the heads' last stamps are at hand.
            cut = min(head.last for head in heads)
            yield _in_order(joined([head.until(cut) for head in heads]))
            heads = [head for head in heads if head.more()]

    def _sorted(self) -> Rows:
        rows = _in_order(joined(self._held))
        self._held, self._held_rows = [], 0
        return rows

    def _spill(self) -> None:
        import pyarrow as pa

        path = self._scratch / f"{len(self._spilled):06d}.arrow"
        rows = self._sorted()
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, self._schema) as writer:
            # The blocks of all runs together are what the merge holds; 64 runs fill the same budget again.
            writer.write_table(_table_of(rows, self._schema), max_chunksize=max(1, self._rows_max // 64))
        self._spilled.append(path)

    def _read(self, path: Path) -> Iterator[Rows]:
        import pyarrow as pa

        fields = tuple(self._schema.names[2:])
        with pa.OSFile(str(path), "rb") as file:
            reader = pa.ipc.open_file(file)
            for k in range(reader.num_record_batches):
                yield _rows_of(pa.Table.from_batches([reader.get_batch(k)]), fields)


class _Head:
    """The rows of a run that are at hand."""

    def __init__(self, blocks: Iterator[Rows]) -> None:
        self._blocks = blocks
        self._rows = next(blocks)

    @property
    def last(self) -> int:
        return int(self._rows.stamp[-1])

    def until(self, stamp: int) -> Rows:
        """Takes off the rows up to this stamp."""
        cut = int(np.searchsorted(self._rows.stamp, stamp, "right"))
        taken, self._rows = self._rows.take(slice(0, cut)), self._rows.take(slice(cut, None))
        return taken

    def more(self) -> bool:
        if not len(self._rows):
            following = next(self._blocks, None)
            if following is None:
                return False
            self._rows = following
        return True


def _in_order(rows: Rows) -> Rows:
    return rows.take(np.lexsort((rows.code, rows.stamp)))


def _write(path: Path, sorter: _Sorter, fields: tuple[str, ...], *, dated: bool) -> None:
    import pyarrow.parquet as pq

    schema, surveyor = _schema(fields), Surveyor()
    with pq.ParquetWriter(
        path, schema, compression="lz4", use_dictionary=False, write_statistics=["stamp"], write_page_checksum=True
    ) as writer:
        for rows in sorter.rows():
            surveyor.add(rows.stamp, rows.code, len(sorter.coder))
            writer.write_table(_table_of(rows, schema), row_group_size=GROUP_ROWS)
        survey = msgspec.structs.replace(
            surveyor.survey(sorter.coder.codes, dated=dated),
            unsorted=sorter.disorder.count,
            unsorted_first=tuple(sorter.disorder.first),
        )
        meta = msgspec.json.encode({"fields": fields, "survey": survey})
        writer.add_key_value_metadata({_META.decode(): meta.decode()})
