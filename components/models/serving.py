"""How every trained model serves its artefact: what it checks, how it answers, what it remembers."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.bundle import Bundle, Frozen, composed, dataset_digest, opened
from components.models.card import Card, Schema
from components.models.opinions import enough, opinions, rows_to_check
from components.models.stages import applied, named, stages
from engine.errors import ConfigError, NothingLearnedError, StateError
from engine.events import Features, Mask, Matrix, Signal, Vector
from engine.learning import Processor
from engine.protocols import Artefact, Dataset
from engine.state import pack, placed, unpack
from engine.universe import Universe

Answer = Callable[[NDArray[Any]], Vector]
_BLOCK = 1 << 16  # rows answered at once where each stands alone


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all models of a kind.

    `opened` turns weights into a function from float32 rows, (R, F) or with several steps (R, steps, F), to (R,)
    float64. Rows `alone` are answered with the same bits in whatever company they come; others go slice by slice.
    """

    name: str  # as registered
    version: int  # of the format of its weights and parameters
    opened: Callable[[Bundle], Answer]
    alone: bool = False
    tolerance: float = 1e-9  # relative, between machines: by how much a stored answer may be missed


class Learnt(msgspec.Struct, frozen=True, kw_only=True):
    """What a kind says of one training, beside what the dataset says."""

    weights: dict[str, bytes]
    params: dict[str, Any]  # JSON values
    seed: int
    label: str
    libraries: dict[str, str]
    slices: dict[str, int]
    rows: dict[str, int]
    size: dict[str, int] = {}
    metrics: dict[str, float] = {}
    importance: dict[str, float] = {}
    threads: int = 1


class Serving:
    """Holds the artefact in use and answers with it; NaN throughout while there is none.

    A name with fewer than half of its features known (over all steps of its row), or of which processors leave nothing,
    has no opinion. Processors are applied to each slice by one function, in training, in `predict` and in
    `on_features`, with what they froze in training. So `predict` over history equals the answers in the wiring, bit for
    bit.

    `steps` is how many slices a row looks at; a name has no opinion until that many were seen since it was there. A row
    that is missing altogether (all NaN) stays so behind processors, which know one slice and cannot fill it from more.
    Memory: one artefact, and with several steps two windows of (steps, N, F) float32.
    """

    def __init__(
        self,
        *,
        kind: Kind,
        name: str,
        universe: Universe,
        horizon_ns: int | None = None,
        processors: Sequence[Processor] = (),
        steps: int = 1,
    ) -> None:
        if horizon_ns is not None and horizon_ns < 1:
            raise ValueError(f"horizon_ns must be at least 1, got {horizon_ns}")
        if steps < 1:
            raise ValueError(f"steps must be at least 1 slice, got {steps}")
        self._kind, self._name, self._symbols, self.steps = kind, name, universe.symbols, steps
        self._wanted_ns, self._processors = horizon_ns, tuple(processors)
        self._artefact: Artefact | None = None
        self._bundle: Bundle | None = None
        self._answer: Answer | None = None
        self._window: deque[tuple[NDArray[Any], NDArray[Any]]] = deque(maxlen=steps)  # as given, and as processed
        self._seen = np.zeros(len(universe), np.int64)  # slices since each name was there, at most steps

    @property
    def hash(self) -> str:
        """Of the artefact in use, empty without one."""
        return "" if self._artefact is None else self._artefact.hash

    @property
    def horizon_ns(self) -> int:
        """That of the labels learned; without an artefact the option, 0 = not known."""
        return self._bundle.card.horizon_ns if self._bundle else self._wanted_ns or 0

    # ---- learning ----------------------------------------------------------------------------------------------------

    def check_horizon(self, horizon_ns: int, whose: str) -> None:
        """Raises ConfigError where the option names another one."""
        if self._wanted_ns is not None and self._wanted_ns != horizon_ns:
            raise ConfigError(
                f"{self._name}: horizon_ns is {self._wanted_ns}, and {whose} span {horizon_ns} ns; "
                "leave the option out, or train for that horizon"
            )

    def known(self, dataset: Dataset) -> Mask:
        """(T, N) the names that have an opinion, by their features alone."""
        return opinions(dataset, self.steps)

    def fitted(self, dataset: Dataset, rows: Mask) -> tuple[NDArray[Any], Frozen]:
        """Features (T, N, F) as the weights will see them, and what processors froze on the rows (T, N) to learn from.

        Without processors these are the dataset's own features, not a copy.
        """
        value, frozen = dataset.features, []
        for processor in self._processors:
            frozen.append({name: np.asarray(array) for name, array in processor.fit(value[rows]).items()})
            value = np.stack([applied(processor, each, frozen[-1]) for each in value])
        return self._still_missing(dataset.features, value), tuple(frozen)

    def composed(self, dataset: Dataset, learnt: Learnt, frozen: Frozen = (), before: Bundle | None = None) -> Artefact:
        """The artefact of a training, with rows of the dataset to check it by.

        One that went on from another (`before`) has learned from the history of both.
        NothingLearnedError where it answers all of the dataset with one number: it has learned nothing.
        """
        since, until = int(dataset.ts[0]), int(dataset.label_to.max())
        card = Card(
            kind=self._kind.name,
            version=self._kind.version,
            params=learnt.params,
            seed=learnt.seed,
            threads=learnt.threads,
            libraries=learnt.libraries,
            since_ns=min(since, since if before is None else before.card.since_ns),
            until_ns=max(until, until if before is None else before.card.until_ns),
            label=learnt.label,
            horizon_ns=dataset.horizon_ns,
            slices=learnt.slices,
            rows=learnt.rows,
            size=learnt.size,
            metrics={name: value if np.isfinite(value) else None for name, value in learnt.metrics.items()},
            importance=learnt.importance,
            dataset=dataset_digest(dataset),
        )
        schema = Schema(
            schema=dataset.schema,
            features=dataset.names,
            symbols=dataset.symbols,
            label=learnt.label,
            horizon_ns=dataset.horizon_ns,
            steps=self.steps,
            processors=stages(self._processors, frozen),
        )
        rows = rows_to_check(dataset, self.steps, self._name)
        bundle = Bundle(card=card, schema=schema, weights=learnt.weights, frozen=frozen, rows=rows, answers=np.zeros(0))
        answer = self._kind.opened(bundle)
        answers = self._answered(answer, self.applied(rows, frozen), enough(rows))
        self._check_told_apart(answer, answers, dataset, frozen)
        return composed(msgspec.structs.replace(bundle, answers=answers))

    def _check_told_apart(self, answer: Answer, answers: Vector, dataset: Dataset, frozen: Frozen) -> None:
        """Looks at all slices only where the rows to check by have one answer already."""
        told = np.unique(answers[np.isfinite(answers)])
        if len(told) > 1:
            return
        rows = 0
        for value in self._over(answer, dataset, frozen):
            found = value[np.isfinite(value)]
            told, rows = np.union1d(told, found), rows + len(found)
            if len(told) > 1:
                return
        if rows < 2:
            return  # one row has one answer
        raise NothingLearnedError(
            f"{self._name}: once it had learned it answered all {rows} rows of the history that it learned from with "
            f"{told[0]:.6g}, which tells no name from another; loosen the options that keep it from learning "
            "(min_data_in_leaf, alpha, epochs), or train on longer history"
        )

    # ---- what is in use ----------------------------------------------------------------------------------------------

    def take(self, artefact: Artefact) -> None:
        """Answers with this artefact from now on; where `judged` raises, the one in use stays."""
        self._bundle, self._answer = self.judged(artefact)
        self._artefact = artefact
        self._refill([raw for raw, _ in self._window])

    def judged(self, artefact: Artefact) -> tuple[Bundle, Answer]:
        """An artefact's parts and answers, once it is seen to be whole, of this kind, and to answer as it did.

        StateError for one that is damaged or of another kind, ConfigError for one that this model may not use.
        """
        bundle = opened(artefact, self._name)
        self._check_kind(bundle)
        self.check_horizon(bundle.card.horizon_ns, f"the labels of artefact {artefact.hash[:12]}")
        answer = self._kind.opened(bundle)
        self._check_answers(bundle, answer, artefact.hash[:12])
        return bundle, answer

    def _check_kind(self, bundle: Bundle) -> None:
        card, schema = bundle.card, bundle.schema
        if (card.kind, card.version) != (self._kind.name, self._kind.version):
            found, own = f"{card.kind} v{card.version}", f"{self._kind.name} v{self._kind.version}"
            raise StateError(f"{self._name}: the artefact is of {found}, this model reads {own}")
        if schema.steps != self.steps:
            raise ConfigError(
                f"{self._name}: it looks at {self.steps} slices, and the artefact learned from {schema.steps}; "
                "set the option to what it learned from, or train again"
            )
        learned, own_stages = (
            [(each.kind, each.options) for each in found]
            for found in (schema.processors, stages(self._processors, ({},) * len(self._processors)))
        )
        if learned != own_stages:
            raise ConfigError(
                f"{self._name}: its processors are {named(own_stages)}, and the artefact learned behind "
                f"{named(learned)}; name those, in that order, or train again"
            )

    def _check_answers(self, bundle: Bundle, answer: Answer, short: str) -> None:
        """Predicts the stored rows again."""
        found = self._answered(answer, self.applied(bundle.rows, bundle.frozen), enough(bundle.rows))
        tolerance = self._kind.tolerance
        near = np.isclose(found, bundle.answers, rtol=tolerance, atol=tolerance, equal_nan=True)
        if found.shape == bundle.answers.shape and len(found) and near.all():
            return
        k = int(np.argmin(near)) if len(near) else 0
        said = f"{found[k]!r}, not {bundle.answers[k]!r}" if len(near) else "nothing, for it has no rows"
        trained = ", ".join(f"{name} {version}" for name, version in bundle.card.libraries.items())
        raise StateError(
            f"{self._name}: artefact {short} answers its stored row {k} with {said}; it was trained with {trained}: "
            "use these versions, or train it again"
        )

    def check_schema(self, bundle: Bundle, schema: str) -> None:
        """Raises ConfigError where features are not of the set that an artefact learned from."""
        if schema != bundle.schema.schema:
            raise ConfigError(
                f"{self._name}: it was trained on features of schema {bundle.schema.schema} and is given "
                f"{schema}; name the feature set it was trained on, or train it again"
            )

    def _in_use(self, schema: str) -> Bundle:
        """The artefact in use, seen to be for features of this schema."""
        if self._bundle is None:
            raise RuntimeError(f"{self._name}: there is no artefact to check features against")
        self.check_schema(self._bundle, schema)
        return self._bundle

    # ---- answering ---------------------------------------------------------------------------------------------------

    def predict(self, dataset: Dataset) -> Matrix:
        """(T, N) answers over history, NaN throughout without an artefact."""
        slices, n, _ = dataset.features.shape
        out = np.full((slices, n), np.nan)
        if self._answer is None:
            return out
        t = self.steps - 1
        for value in self._over(self._answer, dataset, self._in_use(dataset.schema).frozen):
            out[t : t + len(value)] = value
            t += len(value)
        return out

    def _over(self, answer: Answer, dataset: Dataset, frozen: Frozen) -> Iterator[Matrix]:
        """(S, N) answers to the slices of a history, some at a time, from the first that has a window on."""
        slices, n, _ = dataset.features.shape
        first = self.steps - 1
        step = max(_BLOCK // n, 1) if self._kind.alone and not first else 1
        window: deque[NDArray[Any]] = deque(maxlen=self.steps)
        for t in range(0, slices, step):
            raw = dataset.features[t : t + step].astype(np.float32, copy=False)
            window.append(self.applied(raw, frozen).reshape(-1, raw.shape[-1]))
            if t >= first:
                known = enough(dataset.features[t - first : t + 1] if first else raw.reshape(1, -1, raw.shape[-1]))
                yield self._answered(answer, window, known).reshape(-1, n)

    def on_features(self, features: Features) -> Signal:
        """The signal of one slice."""
        raw = features.value.astype(np.float32)
        self._seen = np.minimum(self._seen + 1, self.steps)
        if self._answer is None:
            self._window.append((raw, raw))
            return self.signal(features, np.full(len(raw), np.nan))
        bundle = self._in_use(features.schema)
        self._window.append((raw, self.applied(raw[None], bundle.frozen)[0]))
        if len(self._window) < self.steps:
            return self.signal(features, np.full(len(raw), np.nan))
        known = enough(np.stack([each for each, _ in self._window])) & (self._seen == self.steps)
        return self.signal(features, self._answered(self._answer, [each for _, each in self._window], known))

    def signal(self, features: Features, value: Vector) -> Signal:
        """These values (N,) as the answer to a slice, with horizon and hash of the artefact in use."""
        return Signal(
            ts=features.ts,
            asof=features.ts,
            source=self._name,
            value=value,
            horizon_ns=self.horizon_ns,
            model_hash=self.hash,
        )

    def applied(self, value: NDArray[Any], frozen: Frozen) -> NDArray[Any]:
        """Slices (S, N, F) through all processors, one slice at a time."""
        raw = value
        for processor, statistics in zip(self._processors, frozen, strict=True):
            value = np.stack([applied(processor, each, statistics) for each in value])
        return self._still_missing(raw, value)

    def _still_missing(self, raw: NDArray[Any], value: NDArray[Any]) -> NDArray[Any]:
        """The processed values, but for rows of several slices those that were missing altogether are so again."""
        if self.steps > 1 and self._processors:
            value[np.isnan(raw).all(axis=-1)] = np.nan
        return value

    def _answered(self, answer: Answer, window: Any, known: Mask) -> Vector:
        """(N,) answers of the names that are known, from the `steps` slices (N, F) of a window.

        A name of which processors left nothing is not known either.
        """
        value = np.full(len(known), np.nan)
        if self._processors:
            known = known & ~np.logical_and.reduce([np.isnan(each).all(axis=1) for each in window])
        if known.any():
            rows = [each[known] for each in window]
            value[known] = answer(rows[0] if self.steps == 1 else np.stack(rows, axis=1))
        return value

    # ---- state -------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        return pack(
            self._kind.name,
            self._kind.version,
            files=None if self._artefact is None else self._artefact.files,
            symbols=self._symbols,
            window=[] if self.steps == 1 else [raw for raw, _ in self._window],
            seen=self._seen,
        )

    def load(self, state: bytes) -> None:
        """Restores the artefact, and by symbol the slices that a row looks at."""
        from components.models.artefact import artefact_of

        fields = unpack(state, self._kind.name, self._kind.version)
        self._artefact, self._bundle, self._answer = None, None, None
        self._window.clear()
        if fields["files"] is not None:
            self.take(artefact_of(fields["files"]))
        before = fields["symbols"]
        self._refill([placed(raw.T, before, self._symbols, np.nan).T for raw in fields["window"]])
        self._seen = placed(fields["seen"], before, self._symbols, 0)

    def _refill(self, raws: list[NDArray[Any]]) -> None:
        """The window of these slices, processed by the artefact in use."""
        self._window.clear()
        for raw in raws:
            done = self.applied(raw[None], self._bundle.frozen)[0] if self._bundle else raw
            self._window.append((raw, done))
