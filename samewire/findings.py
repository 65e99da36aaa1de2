"""What is otherwise than a session's manifest says: run file, data, models, code, libraries."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import SamewireError
from samewire.artefacts import artefact_at, owners, pinned
from samewire.prepare import Prepared, feed_of, prepare
from samewire.provenance import code_of, named, own_code, provenance, tables_of
from samewire.read_files import files_of
from samewire.recorded import Recorded
from samewire.statements import Statement, of_components, of_feed, of_itself, of_results, of_version
from samewire.taught import model_of

_HASH = re.compile(r"[0-9a-f]{32,}")
CONFIGURATION, DATA, MODEL, CODE, LIBRARY = "configuration", "data revision", "model file", "code", "library"
RECORD = "record"  # the session directory does not say what it said


@dataclass(frozen=True)
class Finding:
    """Something that changed since the session was recorded: its class, what it is, and both values."""

    cause: str
    what: str
    recorded: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.cause}: {self.what} was {_short(self.recorded)}, is {_short(self.found)}"


def _short(value: Any) -> str:
    """A value in words, a hash by its first digits."""
    text = str(value)
    return f"{text[:16]}..." if _HASH.fullmatch(text) else text


def before_it_runs(recorded: Recorded) -> Iterator[Finding]:
    """What can be told from the run file and the code alone, in the order in which a rerun would meet it."""
    from samewire.schema import resolved

    run, manifest = recorded.run, recorded.manifest
    yield from _untrue(of_version(recorded))
    yield from _untrue(of_itself(recorded))
    configured = list(_changes(manifest.get("config", {}), resolved(run), ""))
    yield from configured
    if not configured:
        yield from _untrue(of_components(recorded))
    now = provenance(run, ())
    for name in sorted({**manifest.get("libraries", {}), **now["libraries"]}):
        yield from _changed(LIBRARY, name, manifest.get("libraries", {}).get(name), now["libraries"].get(name))
    yield from _changed(LIBRARY, "python", manifest.get("python"), now["python"])
    for name in sorted({**manifest.get("machine", {}), **now["machine"]}):
        yield from _changed(
            LIBRARY, f"machine: {name}", manifest.get("machine", {}).get(name), now["machine"].get(name)
        )
    kept = manifest.get("components", {})
    for name, component in named(run):
        recorded_code = kept.get(name, {}).get("sha256")
        yield from _changed(CODE, f"{name} ({component.use})", recorded_code, code_of(component)["sha256"])
    yield from _changed(CODE, "samewire", manifest.get("code"), own_code())


def of_files(recorded: Recorded) -> Iterator[Finding]:
    """The files of its feed against the hashes of the manifest, then those that its components read, and its models."""
    feed = feed_of(recorded.run)
    yield from _of_hashes(feed_hashes(recorded), feed.hashes())
    yield from _untrue(of_feed(recorded, feed))
    yield from _of_artefacts(recorded)
    kept, _ = of_models(recorded)
    yield from _of_what_is_read(recorded, prepare(recorded.run, recorded=kept))


def of_data(recorded: Recorded, prepared: Prepared) -> Iterator[Finding]:
    """The same of a session that is built already, and what its directory keeps beside the journal."""
    yield from _of_hashes(feed_hashes(recorded), prepared.feed.hashes())
    yield from _untrue(of_feed(recorded, prepared.feed))
    yield from _of_what_is_read(recorded, prepared)
    yield from _untrue(of_results(recorded), "")


def _of_what_is_read(recorded: Recorded, prepared: Prepared) -> Iterator[Finding]:
    """Tables, and files that options name."""
    run, manifest = recorded.run, recorded.manifest
    yield from _of_hashes(manifest.get("tables", {}), tables_of(run, prepared.tables))
    if "files" in manifest:  # else of an earlier version
        yield from _of_hashes(manifest["files"], files_of(run, prepared.tables))


def _untrue(statements: Iterable[Statement], place: str = "manifest: ") -> Iterator[Finding]:
    """What the directory states and is not so."""
    for what, kept, now in statements:
        yield from _changed(RECORD, f"{place}{what}", kept, now)


def feed_hashes(recorded: Recorded) -> Mapping[str, str]:
    """What the manifest says of the files of its feed."""
    hashes: Mapping[str, str] = recorded.manifest.get("feed", {}).get("hashes", {})
    return hashes


def _of_artefacts(recorded: Recorded) -> Iterator[Finding]:
    """Models that the run file names by their folder; those that it trains are trained again."""
    for spec in pinned(recorded.run, recorded.directory).models:
        if spec.artefact is not None:
            name = spec.component.name
            kept = recorded.manifest.get("models", {}).get(name)
            yield from _changed(MODEL, name, kept, artefact_at(spec.artefact).hash)


def _of_hashes(kept: Mapping[str, str], now: Mapping[str, str]) -> Iterator[Finding]:
    for name in sorted({**kept, **now}):
        yield from _changed(DATA, name, kept.get(name), now.get(name))


def of_models(recorded: Recorded) -> tuple[dict[str, Any], list[Finding]]:
    """The artefacts of a session by model, and those that are not what the manifest says, which are not loaded."""
    from components.models.artefact import read_artefact

    artefacts: dict[str, Any] = {}
    found: list[Finding] = []
    kept = recorded.manifest.get("models", {})
    models = owners(recorded.run)
    for name in (name for name in kept if model_of(name) in models):
        value = kept[name]
        try:
            artefact = read_artefact(recorded.directory / "models" / name)
        except SamewireError as error:
            found.append(Finding(MODEL, name, value, str(error)))
            continue
        changed = list(_changed(MODEL, name, value, artefact.hash))
        found += changed
        if not changed:
            artefacts[name] = artefact
    return artefacts, found


def _changed(cause: str, what: str, recorded: Any, found: Any) -> Iterator[Finding]:
    if recorded != found:
        yield Finding(cause, what, recorded, found)


def _changes(recorded: Any, found: Any, path: str) -> Iterator[Finding]:
    """Every value of two resolved run files that differs, by its path."""
    if isinstance(recorded, Mapping) and isinstance(found, Mapping):
        for key in sorted({*recorded, *found}):
            yield from _changes(recorded.get(key), found.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for i, (a, b) in enumerate(zip(recorded, found, strict=True)):
            yield from _changes(a, b, f"{path}[{i}]")
    else:
        yield from _changed(CONFIGURATION, path, recorded, found)
