"""What every registry of models keeps: one list of registries, one battery."""

from collections.abc import Callable
from pathlib import Path

import pytest

from components.models.artefact import artefact_of
from engine.errors import ConfigError, StateError
from engine.learning import Registry
from samewire.artefacts import registry_at
from tests.adapters.registry.made import Ticking

A, B = (artefact_of({"model.txt": text}) for text in (b"a", b"b"))

Make = Callable[[Path], Registry]
CASES: dict[str, Make] = {"folder": lambda folder: registry_at(folder, clock=Ticking())}
pytestmark = pytest.mark.parametrize("make", CASES.values(), ids=CASES.keys())


def promoted(registry: Registry, *steps: tuple[str, str]) -> Registry:
    for artefact in (A, B):
        registry.register("gbdt", artefact)
    for hash_, stage in steps:
        registry.promote("gbdt", hash_, stage, actor="ann", reason="better")
    return registry


def test_what_is_registered_is_a_candidate_and_comes_back_whole(make: Make, tmp_path: Path) -> None:
    registry = make(tmp_path)
    registry.register("gbdt", A)
    found = registry.resolve("gbdt", "candidate")
    assert (found.hash, found.files) == (A.hash, A.files)
    (entry,) = registry.history("gbdt")
    assert (entry.name, entry.artefact, entry.stage) == ("gbdt", A.hash, "candidate")
    assert entry.actor
    assert entry.reason


def test_registering_again_changes_nothing_whatever_its_stage(make: Make, tmp_path: Path) -> None:
    registry = promoted(make(tmp_path), (A.hash, "production"))
    before = registry.history("gbdt")
    registry.register("gbdt", A)
    assert registry.history("gbdt") == before
    assert registry.resolve("gbdt", "production").hash == A.hash


def test_a_stage_holds_what_was_promoted_last_and_the_history_keeps_all(make: Make, tmp_path: Path) -> None:
    registry = promoted(make(tmp_path), (A.hash, "production"), (B.hash, "production"))
    assert registry.resolve("gbdt", "production").hash == B.hash
    entry = registry.promote("gbdt", A.hash, "production", actor="bob", reason="B lost money")
    assert registry.resolve("gbdt", "production").hash == A.hash
    told = registry.history("gbdt")
    assert [(e.artefact, e.stage) for e in told] == [
        (A.hash, "candidate"),
        (B.hash, "candidate"),
        (A.hash, "production"),
        (B.hash, "production"),
        (A.hash, "production"),
    ]
    assert (told[-1], entry.actor, entry.reason) == (entry, "bob", "B lost money")
    assert [e.at for e in told] == sorted({e.at for e in told})


def test_what_moved_on_is_at_no_stage_where_it_was_and_nothing_older_takes_its_place(
    make: Make, tmp_path: Path
) -> None:
    registry = promoted(make(tmp_path), (A.hash, "production"), (B.hash, "production"), (B.hash, "retired"))
    with pytest.raises(StateError, match=r"was at stage production and was moved to retired by ann \(better\)"):
        registry.resolve("gbdt", "production")
    assert registry.resolve("gbdt", "retired").hash == B.hash


def test_names_are_apart_and_share_artefacts(make: Make, tmp_path: Path) -> None:
    registry = promoted(make(tmp_path), (A.hash, "production"))
    registry.register("other", A)
    assert registry.resolve("other", "candidate").hash == A.hash
    with pytest.raises(StateError, match="no artefact of other is at stage production"):
        registry.resolve("other", "production")
    assert len(registry.history("other")) == 1


def test_another_instance_over_the_same_place_knows_the_same(make: Make, tmp_path: Path) -> None:
    promoted(make(tmp_path), (A.hash, "production"))
    assert make(tmp_path).resolve("gbdt", "production").hash == A.hash
    assert len(make(tmp_path).history("gbdt")) == 3


def test_what_is_not_there_is_told(make: Make, tmp_path: Path) -> None:
    registry = make(tmp_path)
    with pytest.raises(StateError, match="nothing is registered as gbdt; registered are: none"):
        registry.resolve("gbdt", "production")
    assert registry.history("gbdt") == ()
    registry.register("gbdt", A)
    with pytest.raises(StateError, match="no artefact of gbdt is at stage production; promote one"):
        registry.resolve("gbdt", "production")
    with pytest.raises(StateError, match="is not registered as gbdt"):
        registry.promote("gbdt", B.hash, "production", actor="ann", reason="x")
    registry.register("other", B)
    with pytest.raises(StateError, match="is not registered as gbdt"):
        registry.promote("gbdt", B.hash, "production", actor="ann", reason="x")


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a b", "x" * 65, "a\n"])
def test_names_that_could_be_paths_are_refused(make: Make, tmp_path: Path, name: str) -> None:
    registry = make(tmp_path)
    with pytest.raises(ConfigError, match="cannot be a name"):
        registry.register(name, A)
    with pytest.raises(ConfigError, match="cannot be a name"):
        registry.resolve(name, "production")


@pytest.mark.parametrize("stage", ["", "Production", "a b", "../x"])
def test_stages_are_plain_words(make: Make, tmp_path: Path, stage: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a stage"):
        promoted(make(tmp_path), (A.hash, stage))


@pytest.mark.parametrize(("actor", "reason"), [("", "x"), ("ann", " "), ("ann", "x" * 3000)])
def test_a_promotion_says_who_and_why(make: Make, tmp_path: Path, actor: str, reason: str) -> None:
    registry = promoted(make(tmp_path))
    with pytest.raises(ConfigError, match="the (actor|reason) of a promotion has 1 to"):
        registry.promote("gbdt", A.hash, "production", actor=actor, reason=reason)
    assert len(registry.history("gbdt")) == 2
