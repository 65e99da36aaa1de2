"""Models kept up to date: the newest training of each is judged beside what serves now, and takes over by a rule."""

import hashlib
import json
import math
from typing import Any, Literal

import msgspec
import numpy as np

from adapters.registry.folder import CANDIDATE, FolderRegistry, check_said
from adapters.tracking.delivery import Delivered
from adapters.tracking.store import END, FAILED, RunRow, run_id
from components.metrics.error_bars import Figure, mean_of
from components.metrics.signal import pearson, spearman
from components.models.artefact import read_artefact
from components.training import plan as plans
from components.training.fitting import Panel, answered
from components.training.plan import Window, length_of, tested
from engine.errors import ConfigError, SamewireError
from engine.events import Mask, Matrix, Stamps, Vector
from engine.instants import day_text
from engine.learning import Entry
from engine.protocols import Artefact
from samewire.answering_again import history_ended, model_of, tasks_of
from samewire.artefacts import check_features, check_horizon, learned_until, registry_at
from samewire.hiding import hider
from samewire.leaks import Leaks
from samewire.run_file import RunFile
from samewire.training import How, carried_out, told_of
from samewire.training_job import ARTEFACTS, PREDICTIONS, alone, ended_whole, scores_of
from samewire.training_leaks import verdict_words
from samewire.training_plan import Asked, Planned, given_of, rolling_of, section_of
from samewire.training_results import Ready
from samewire.training_spec import FixedSpec, OnlineSpec, Training, WalkForwardSpec
from samewire.training_trials import long_short

ACTOR = "samewire train"
PROMOTED, KEPT = "promoted", "kept"
_NAMES = {"rank_ic": "rank IC", "ic": "IC", "long_short": "long-short"}
SHORT = 12  # digits of a hash that are shown


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the newest training of a model. Figures are means over the slices of the judgement."""

    model: str
    outcome: Literal["promoted", "kept", "failed"]  # kept: what served before does so still, if anything did
    reason: str
    before: bool = False  # an earlier call decided so, on the same history
    run: str = ""  # of the training
    candidate: str = ""  # hash of the artefact
    serving: str = ""  # hash of what served when it was decided; empty = nothing
    now: str = ""  # hash of what serves now; empty = nothing
    slices: int = 0  # that both could be judged by
    judged: tuple[str, str] | None = None  # the first and the last of them
    figure: float | None = None  # of the candidate
    figure_serving: float | None = None
    difference: float | None = None
    error: float | None = None  # of the difference
    t: float | None = None


class Updates(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all models of a run file."""

    name: str
    stage: str
    decisions: tuple[Decision, ...]
    trained: int
    reused: int
    verdict: Leaks | None
    told: tuple[Delivered, ...] = ()

    @property
    def ok(self) -> bool:
        return not (self.verdict and self.verdict.found) and all(each.outcome != FAILED for each in self.decisions)


def newest(training: Training, asked: Asked) -> tuple[Window, ...]:
    """The one window of an update."""
    online = online_of(training)
    split = training.split
    if isinstance(split, FixedSpec):
        raise ConfigError(
            "training.split: fixed names the days to learn from, and --update moves on with history; use walk_forward"
        )
    if not isinstance(split, WalkForwardSpec):
        raise ConfigError(
            f"training.split: {split.use} learns from what came after a test too, and --update moves on with history; "
            "use walk_forward"
        )
    panel = asked.panel
    plans.check_lengths({"judge": online.judge}, panel.interval_ns, "training.online")
    return (
        plans.newest(panel.ts, panel.labels[asked.horizon].until, rolling_of(split, asked), length_of(online.judge)),
    )


def online_of(training: Training) -> OnlineSpec:
    """How models are kept up to date. ConfigError where that is not said, or would train several of one name."""
    if training.online is None:
        raise ConfigError("training: --update needs training.online, such as {registry: registry, stage: production}")
    several = {
        "horizons": len(set(training.plan.horizons)),
        "seeds": training.plan.seeds,
        "grid": len(training.variants),
    }
    for key, count in several.items():
        if count > 1:
            raise ConfigError(
                f"training.{key}: {count} trainings of each model, and --update keeps one of each name; "
                f"choose one of them (--set training.{key}=...)"
            )
    return training.online


def update(run: RunFile, how: How, *, actor: str = ACTOR) -> Updates:
    """Trains each model on all that is known but the last slices, registers it, judges it there beside what serves, and
    promotes it by the rule of `training.online`.

    On one history it decides once: what somebody promoted since stays. A kill at any instant leaves what serves, or
    what has been promoted; the next call goes on.
    """
    training = section_of(run)
    online = online_of(training)
    check_said("actor", actor)
    registry = registry_at(online.registry, actor=actor, clock=how.clock)
    with told_of(run, how) as told, carried_out(run, how, newest, {"update": True}) as ready:
        update_ = _Update(run, online=online, registry=registry, ready=ready, allow=how.allow)
        decisions = tuple(update_.told(planned) for planned in ready.plan.tasks)
        reused = len(ready.reused)
        trained = len(ready.plan.tasks) - reused - len(ready.errors)
        found = ready.verdict
    return Updates(
        name=run.session.name,
        stage=online.stage,
        decisions=decisions,
        trained=trained,
        reused=reused,
        verdict=found,
        told=told.places,
    )


class _Update:
    """One call: decides on each model in turn."""

    def __init__(
        self,
        run: RunFile,
        *,
        online: OnlineSpec,
        registry: FolderRegistry,
        ready: Ready,
        allow: tuple[str, ...] | None,
    ) -> None:
        self._run, self._online, self._registry, self._ready = run, online, registry, ready
        self._actor, self._allow = registry.actor, allow
        self._said = f"update of {run.session.name}: "  # how each reason of ours begins in the registry

    def told(self, planned: Planned) -> Decision:
        """The decision; where a leak was found, with what serves all the same: nothing takes that away by itself."""
        decision = self.decided(planned)
        entry = self._registry.serving(decision.model, self._online.stage)
        if entry is None or not (self._ready.verdict and self._ready.verdict.found):
            return decision
        said = (
            f"{decision.reason}; {entry.artefact[:SHORT]} still serves at {self._online.stage}, promoted by "
            f"{entry.actor}: look whether it leaks too, and promote another by hand"
        )
        return msgspec.structs.replace(decision, reason=said, now=entry.artefact)

    def decided(self, planned: Planned) -> Decision:
        """Registers what was trained and decides, unless that was done before."""
        name, runs, errors = planned.task.model, self._ready.runs, self._ready.errors
        row = None if planned.run in errors else ended_whole(runs, planned.run)
        if row is None:
            error = errors.get(planned.run, "its files are not in the store; run the update again")
            return Decision(model=name, outcome="failed", reason=error, run=planned.run)
        candidate = self._candidate(row)
        key = self._key(planned)
        with alone(runs.folder / "work", key):
            lines = [entry for entry in self._registry.history(name) if entry.artefact == candidate.hash]
            self._registry.register(name, candidate)
            earlier = runs.ended(run_id(key, planned.code))
            entry = self._registry.serving(name, self._online.stage)
            if earlier is not None and lines:
                now = "" if entry is None else entry.artefact
                return msgspec.convert(earlier.outcome | {"before": True, "now": now}, Decision)
            if entry is not None and entry.artefact == candidate.hash:
                return self._recorded(key, planned, self._there(planned, row, entry))
            if lines and lines[-1].stage not in (CANDIDATE, self._online.stage):
                return self._recorded(key, planned, self._moved(planned, row, lines[-1], entry))
            return self._recorded(key, planned, self._judged(planned, row, entry), promote=True)

    def _there(self, planned: Planned, row: RunRow, entry: Entry) -> Decision:
        """It serves already: an earlier call was killed between promoting and recording it, or somebody was faster."""
        if entry.reason.startswith(self._said):
            reason = entry.reason.removeprefix(self._said)
            return msgspec.structs.replace(self._plain(planned, row, PROMOTED, reason, ""), before=True)
        reason = f"it serves already: promoted by {entry.actor} ({entry.reason})"
        return self._plain(planned, row, KEPT, reason, entry.artefact)

    def _moved(self, planned: Planned, row: RunRow, line: Entry, entry: Entry | None) -> Decision:
        reason = f"{line.actor} moved it to {line.stage} ({line.reason}); whoever knows better promotes it by hand"
        return self._plain(planned, row, KEPT, reason, "" if entry is None else entry.artefact)

    # ---- the judgement -----------------------------------------------------------------------------------------------

    def _judged(self, planned: Planned, row: RunRow, entry: Entry | None) -> Decision:
        serving = "" if entry is None else entry.artefact
        if self._ready.verdict is not None and self._ready.verdict.found:
            return self._plain(planned, row, KEPT, "a leak was found, so nothing is promoted", serving)
        panel = self._ready.plan.panels[planned.panel]
        low, high = tested(planned.task, panel.ts)
        kept = next(file for file in row.files if file.name == PREDICTIONS)
        label = panel.labels[planned.task.horizon].value[low:high]
        mine = self._series(scores_of(self._ready.runs.read(kept), panel.ts[low:high], panel.symbols), label)
        if entry is None:
            return self._first(planned, row, panel.ts[low:high], mine)
        try:
            artefact = self._registry.artefact(serving)
            until = self._learned_until(artefact)
            older = self._older(self._candidate(row), artefact)
            if older:
                return self._plain(planned, row, KEPT, older, serving)
            theirs = self._series(self._answers(planned, artefact, panel, (low, high)), label)
        except Exception as error:  # noqa: BLE001 - a class of the user's own may raise anything
            said = str(error) if isinstance(error, SamewireError | ValueError) else f"{type(error).__name__}: {error}"
            reason = f"{serving[:SHORT]} serves and cannot be judged beside it: {hider()(said)}"
            return self._plain(planned, row, KEPT, reason, serving)
        usable = panel.ts[low:high] > until
        return self._beside(planned, row, serving, (panel.ts[low:high], usable, mine, theirs))

    def _answers(self, planned: Planned, artefact: Artefact, panel: Panel, part: tuple[int, int]) -> Matrix:
        """What serves now says of the slices of the judgement."""
        feed = self._ready.plan.feed
        check_features(planned.task.model, artefact, panel)
        check_horizon(planned.task.model, artefact, planned.task.horizon * panel.interval_ns)
        given = given_of(self._run, planned.model, planned.task.seed, feed.universe, lambda: feed)

        def fresh() -> Any:
            return model_of(self._run, planned, artefact, given, self._ready.runs, self._allow)

        return answered(fresh, panel, *part, planned.task.horizon)

    def _candidate(self, row: RunRow) -> Artefact:
        return read_artefact(self._ready.runs.folder / ARTEFACTS / str(row.outcome["artefact"]))

    def _older(self, candidate: Artefact, serving: Artefact) -> str:
        """Why the candidate is not compared with what serves: it knows nothing newer. Empty where it does."""
        mine, theirs = (history_ended(each, self._ready.runs) for each in (candidate, serving))
        if mine is None or theirs is None:
            mine, theirs = self._learned_until(candidate), self._learned_until(serving)
        if mine > theirs:
            return ""
        return (
            f"{serving.hash[:SHORT]} serves and came out of history up to {day_text(theirs - 1)}, this one out of "
            f"history up to {day_text(mine - 1)}, which is no newer; look at the feed, or promote it by hand"
        )

    def _learned_until(self, artefact: Artefact) -> int:
        """Until when it has seen labels, by its own words or by the run that left it."""
        said = learned_until(artefact)
        if said is not None:
            return said
        found = [int(task["train"]["until"]) for task in tasks_of(artefact, self._ready.runs)]
        if not found:
            raise ConfigError("neither it nor the store says until when it learned")
        return max(found)

    def _series(self, scores: Matrix, label: Matrix) -> Vector:
        """The figure of each slice, (S,)."""
        made = {"rank_ic": spearman, "ic": pearson, "long_short": long_short}[self._online.metric]
        return made(scores, label)

    def _first(self, planned: Planned, row: RunRow, ts: Stamps, mine: Vector) -> Decision:
        figure, online = mean_of(mine, overlap=planned.task.horizon), self._online
        days = _days(ts, np.isfinite(mine))
        over = _over(figure.slices, days)
        held = any(entry.stage == online.stage for entry in self._registry.history(planned.task.model))
        said = f"nothing is at {online.stage} {'any more' if held else 'yet'}; {self._figure(figure.value)} {over}"
        enough = figure.slices >= online.least
        better = enough and figure.value > online.margin
        tail = self._rule(better) if enough else f", fewer than {online.least}: no judgement"
        decision = self._plain(planned, row, PROMOTED if better else KEPT, said + tail, "")
        return msgspec.structs.replace(decision, slices=figure.slices, judged=days, figure=_number(figure.value))

    def _beside(
        self, planned: Planned, row: RunRow, serving: str, what: tuple[Stamps, Mask, Vector, Vector]
    ) -> Decision:
        ts, usable, mine, theirs = what
        both = usable & np.isfinite(mine) & np.isfinite(theirs)
        count, overlap, online = int(both.sum()), planned.task.horizon, self._online
        if count < online.least:
            reason = (
                f"no comparison: {serving[:SHORT]} serves and has not learned from {_counted(count)} of "
                f"{len(ts)}, fewer than {online.least}"
            )
            return self._plain(planned, row, KEPT, reason, serving)
        one, other = mean_of(mine[both], overlap=overlap), mean_of(theirs[both], overlap=overlap)
        gap = mean_of(mine[both] - theirs[both], overlap=overlap)
        sure = online.least_t is None or gap.t >= online.least_t
        better = gap.value > online.margin and sure
        days = _days(ts, both)
        over = f"of {serving[:SHORT]} {_over(count, days)}"
        said = f"{self._figure(one.value)} against {other.value:.4f} {over}, difference {_with_error(gap)}"
        decision = self._plain(planned, row, PROMOTED if better else KEPT, said + self._rule(better), serving)
        return msgspec.structs.replace(
            decision,
            slices=count,
            judged=days,
            figure=_number(one.value),
            figure_serving=_number(other.value),
            difference=_number(gap.value),
            error=_number(gap.error),
            t=_number(gap.t),
        )

    def _figure(self, value: float) -> str:
        return f"{_NAMES[self._online.metric]} {value:.4f}"

    def _rule(self, better: bool) -> str:
        least = "" if self._online.least_t is None else f" and t {self._online.least_t:g}"
        return f", {'above' if better else 'not above'} margin {self._online.margin:g}{least}"

    def _plain(self, planned: Planned, row: RunRow, outcome: str, reason: str, serving: str) -> Decision:
        return Decision(
            model=planned.task.model,
            outcome=outcome,  # type: ignore[arg-type]
            reason=reason,
            run=planned.run,
            candidate=str(row.outcome["artefact"]),
            serving=serving,
        )

    # ---- the record --------------------------------------------------------------------------------------------------

    def _key(self, planned: Planned) -> str:
        """32 hex digits of the training, the labels it is judged by, and the rule."""
        panel = self._ready.plan.panels[planned.panel]
        low, high = tested(planned.task, panel.ts)
        labels = np.ascontiguousarray(panel.labels[planned.task.horizon].value[low:high]).tobytes()
        said = f"update:{planned.run}:{json.dumps(self._words(), sort_keys=True)}:".encode()
        return hashlib.sha256(said + labels).hexdigest()[:32]

    def _words(self) -> dict[str, Any]:
        return self._online.model_dump(exclude={"registry"})

    def _recorded(self, key: str, planned: Planned, decision: Decision, *, promote: bool = False) -> Decision:
        """Begins its record, promotes, and ends the record: what was killed in between is seen by the next call."""
        runs, stage = self._ready.runs, self._online.stage
        now = decision.candidate if decision.outcome == PROMOTED else decision.serving
        decision = msgspec.structs.replace(decision, now=now)
        facts = {
            "name": self._run.session.name,
            "code": planned.code,
            "column": f"{planned.column} update",
            "update": True,
            "training": planned.run,
            "rule": self._words(),
            "test": decision.judged,
            "leaks": verdict_words(self._ready.verdict),
        }
        run = runs.begin(key, hider().inside(facts))
        if promote and decision.outcome == PROMOTED:
            said = {"actor": self._actor, "reason": f"{self._said}{decision.reason}"}
            self._registry.promote(decision.model, decision.candidate, stage, **said)
        leaked = self._ready.verdict is not None and self._ready.verdict.found
        runs.end(run, FAILED if leaked else END, msgspec.to_builtins(decision) | {"before": False})
        return decision


def _days(ts: Stamps, known: Mask) -> tuple[str, str] | None:
    at = np.flatnonzero(known)
    return (day_text(int(ts[at[0]])), day_text(int(ts[at[-1]]))) if len(at) else None


def _counted(slices: int) -> str:
    return f"{slices} slice{'s' * (slices != 1)}"


def _over(slices: int, days: tuple[str, str] | None) -> str:
    return f"over {_counted(slices)}" + (f" ({days[0]} to {days[1]})" if days else "")


def _with_error(figure: Figure) -> str:
    error = f" ± {figure.error:.4f} (t {figure.t:.1f})" if math.isfinite(figure.t) else ""
    return f"{figure.value:.4f}{error}"


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
