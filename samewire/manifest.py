"""The version of a session's manifest and the keys that each version has: one that lacks any was altered or damaged."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.errors import DataError

SCHEMA = 1
DAMAGED = f"every manifest of schema {SCHEMA} has it: it was damaged or altered"
ALWAYS: MappingProxyType[str, tuple[str, ...]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("run_id", "name", "created", "ended", "digest", "config_hash", "folder", "seed", "interval_ns"), ()
        ),
        **dict.fromkeys(("fill", "models", "tables", "files", "libraries", "python", "code"), ()),
        "config": ("session", "feed", "optimizer", "broker"),
        "universe": ("symbols", "currencies", "currency", "multiplier", "lot", "tick"),
        "feed": ("use", "hashes", "issues"),
        "components": (),
        "machine": ("system", "architecture", "blas", "simd", "zones"),
    }
)
_READ = ("universe", "interval_ns", "digest")  # what a session directory is opened with
_MAPPINGS = ("config", "universe", "feed", "models", "components", "tables", "files", "libraries", "machine", "results")
_MAPPING, _LIST, _COLUMN = (dict, "a mapping"), (list, "a list"), ((int, float, list), "a number or a list of them")
_NESTED: MappingProxyType[str, tuple[Any, str]] = MappingProxyType(  # what is read of them, as far as it is there
    {
        **dict.fromkeys(("config.session", "config.feed", "config.optimizer", "config.broker"), _MAPPING),
        **dict.fromkeys(("feed.hashes",), _MAPPING),
        **dict.fromkeys(("config.sinks", "feed.issues", "universe.symbols", "universe.currencies"), _LIST),
        **dict.fromkeys(tuple(f"universe.{column}" for column in ("currency", "multiplier", "lot", "tick")), _COLUMN),
    }
)
_EACH = (("components", _MAPPING), ("models", (str, "a hash")), ("files", (str, "a hash")), ("tables", (str, "a hash")))
_AUDIT = ("lines", "head")
_RESULTS = ("summary.json", "equity.parquet", "ic.parquet", "pnl.parquet")
_OF_THE_SINK = ("orders", "fills", "refusals", "signals", "targets", "charges", "actions", "trades")
# Of sessions that have something to say in them.
_SOME = (
    *("decisions.json", "sleeves.parquet", "calendar.parquet"),
    *("execution.parquet", "execution_decisions.parquet", "execution_slices.parquet"),
)
RESULTS = frozenset((*_RESULTS, *_SOME, *(f"{name}.parquet" for name in _OF_THE_SINK)))  # files of ours


def check_manifest(place: Path, manifest: Mapping[str, Any]) -> None:
    """Raises DataError for one of a version that this samewire does not know, or that nothing can be read from.

    One without a version is of before.
    """
    found = manifest.get("schema", SCHEMA)
    if type(found) is not int or not 1 <= found <= SCHEMA:
        known = f"this samewire reads those up to {SCHEMA}; use the version that wrote it"
        raise DataError(f"{place}: its manifest is of schema {found!r}, {known}")
    gone = next((key for key in _READ if versioned(manifest) and key not in manifest), "")
    if gone:
        raise DataError(f"{place}: its manifest has no {gone!r}; {DAMAGED}, restore it")
    odd = next((key for key in _MAPPINGS if not isinstance(manifest.get(key, {}), dict)), "")
    if odd:
        kind = type(manifest[odd]).__name__
        raise DataError(f"{place}: {odd!r} of its manifest is a {kind}, not a mapping; it was damaged, restore it")
    for name, value, word in _odd(manifest):
        said = f"{name!r} of its manifest is a {type(value).__name__}, not {word}"
        raise DataError(f"{place}: {said}; it was damaged, restore it")


def _odd(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """What within its mappings is of another kind than is read of it: name, value, what it should be."""
    for name, (kind, word) in _NESTED.items():
        outer, _, inner = name.partition(".")
        of = manifest.get(outer, {})
        if inner in of and not isinstance(of[inner], kind):
            yield name, of[inner], word
    for outer, (kind, word) in _EACH:
        said = manifest.get(outer, {}).items()
        yield from ((f"{outer}.{name}", each, word) for name, each in said if not isinstance(each, kind))


def versioned(manifest: Mapping[str, Any]) -> bool:
    """Whether it says which version it is of; of those before, nothing is known that they lack."""
    return "schema" in manifest


def lacking(manifest: Mapping[str, Any]) -> Iterator[str]:
    """The keys that a manifest of its version has and this one has not, with a dot where they are nested."""
    if not versioned(manifest):
        return
    failed, ended = "error" in manifest, manifest.get("ended") is True
    wanted = {**ALWAYS}
    if failed or ended:
        wanted["audit"] = _AUDIT
    if ended:
        wanted["results"] = _results(manifest)
    for key, inner in wanted.items():
        value = manifest.get(key)
        if key not in manifest or (inner and not isinstance(value, Mapping)):
            yield key
        elif isinstance(value, Mapping):
            yield from (f"{key}.{name}" for name in inner if name not in value)
    components = manifest.get("components")
    for name, each in components.items() if isinstance(components, Mapping) else ():
        said = each if isinstance(each, Mapping) else {}
        yield from (f"components.{name}.{key}" for key in ("use", "sha256") if key not in said)


def _results(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """The files of a session that ended; the tables of the sink where its run file has it."""
    config = manifest.get("config")
    sinks = config.get("sinks") if isinstance(config, Mapping) else None
    written = any(isinstance(sink, Mapping) and sink.get("use") == "session_dir" for sink in sinks or ())
    calendar = ("calendar.parquet",) if "calendar" in manifest else ()
    return (*_RESULTS, *calendar, *(f"{name}.parquet" for name in _OF_THE_SINK if written))
