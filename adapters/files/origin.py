"""Where a table of scores came from, written into its Parquet file: what a reader must know before replaying it."""

from pathlib import Path
from typing import Any

import msgspec

_KEY = b"samewire.origin"
_SUFFIXES = (".parquet", ".pq")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How scores were made."""

    split: str  # what is to be known of those that came out of no walk through time; empty for those that did
    leaks: str  # the verdict of the training, in a sentence
    leaked: bool  # a leak was found
    looked: bool  # something was looked for
    learned_until: dict[str, str]  # by column: the last day that any of its trainings learned from


def with_origin(table: Any, origin: Origin) -> Any:
    """The Arrow table with its origin in the metadata of its schema."""
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: msgspec.json.encode(origin)})


def origin_of(path: Path) -> Origin | None:
    """The origin that a file says; None for one that says none, is no Parquet, or cannot be read.

    Reads the footer alone.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return None
    try:
        said = (pq.read_schema(path).metadata or {}).get(_KEY)
        return None if said is None else msgspec.json.decode(said, type=Origin)
    except (pa.ArrowException, OSError, msgspec.MsgspecError):
        return None
