"""What a manifest states beside its hashes, against itself, against what is built from the run file, and the files of
the session directory against the hashes that it has of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapters.files.store import sha256_of
from engine.protocols import Feed
from samewire.artefacts import owners
from samewire.instruments import facts_of
from samewire.manifest import DAMAGED, RESULTS, lacking, versioned
from samewire.provenance import named
from samewire.recorded import Recorded
from samewire.schema import hash_of_words
from samewire.taught import model_of

Statement = tuple[str, Any, Any]  # what is stated, what the manifest says, what it should say


def of_version(recorded: Recorded) -> Iterator[Statement]:
    """The keys that every manifest of its version has; of one without a version, of before, nothing is known."""
    for key in lacking(recorded.manifest):
        yield key, "missing", DAMAGED


def of_itself(recorded: Recorded) -> Iterator[Statement]:
    """Statements that follow from others of the same manifest, and the components that its run file names."""
    manifest = recorded.manifest
    config: Mapping[str, Any] = manifest.get("config", {})
    if not config:  # of an earlier version
        return
    yield "config_hash", manifest.get("config_hash"), hash_of_words(config)
    session, feed, broker = (config.get(name, {}) for name in ("session", "feed", "broker"))
    yield "name", manifest.get("name"), session.get("name")
    yield "seed", manifest.get("seed"), session.get("seed")
    yield "fill", manifest.get("fill"), broker.get("fill")
    yield "feed.use", manifest.get("feed", {}).get("use"), feed.get("use")
    ended, failed = manifest.get("ended", True), "error" in manifest
    yield "ended", ended, not failed and (ended is not False or bool(recorded.digest))
    if versioned(manifest) and (ended or failed):
        yield "digest", recorded.digest, recorded.digest or "that of a session that came to its end, or failed"


def of_components(recorded: Recorded) -> Iterator[Statement]:
    """The components that the manifest names beside those of the run file, where that says what it said."""
    kept = {name: each.get("use") for name, each in recorded.manifest.get("components", {}).items()}
    now = {name: component.use for name, component in named(recorded.run)}
    for name in sorted({**kept, **now}) if kept or versioned(recorded.manifest) else ():
        yield f"components.{name}.use", kept.get(name), now.get(name)
    models = owners(recorded.run)
    for key, value in recorded.manifest.get("models", {}).items():
        if model_of(key) not in models:
            yield f"models.{key}", value, "nothing: the run file has no such model"


def of_feed(recorded: Recorded, feed: Feed) -> Iterator[Statement]:
    """The instruments and the interval of the session, as its feed has them."""
    yield "interval_ns", recorded.interval_ns, feed.interval_ns
    kept, now = facts_of(recorded.universe), facts_of(feed.universe)
    for name, value in now.items():
        if isinstance(value, list) and isinstance(kept[name], list) and len(value) == len(kept[name]):
            place = next((i for i, (a, b) in enumerate(zip(kept[name], value, strict=True)) if a != b), -1)
            if place >= 0:
                yield f"universe.{name}[{place}]", kept[name][place], value[place]
        else:
            yield f"universe.{name}", kept[name], value


def results_of(folder: Path) -> dict[str, str]:
    """SHA-256 of what a session leaves beside its journal: summary and tables."""
    names = ["summary.json", "decisions.json", *(path.name for path in folder.glob("*.parquet"))]
    return {name: sha256_of(folder / name) for name in sorted(names) if (folder / name).is_file()}


def of_results(recorded: Recorded) -> Iterator[Statement]:
    """The files of the directory that the manifest has a hash of."""
    kept: Mapping[str, str] = recorded.manifest.get("results", {})
    now = results_of(recorded.directory) if kept else {}
    ours = [name for name in now if versioned(recorded.manifest) and name in RESULTS]
    for name in sorted({*kept, *ours}):
        yield name, kept.get(name), now.get(name)
