"""What training is made of: tasks as data, and the shapes of what runs, records, keeps and splits them.

Training never enters a session by itself: what it leaves is an `Artefact`, which a recorded `Control` puts to use.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from numpy.typing import NDArray

from engine.events import Codes, Mask, Matrix, Stamps
from engine.protocols import Artefact, Dataset


class Processor(Protocol):
    """Second stage of features: a function of one slice and of statistics frozen when it was fitted.

    The option of a model, which keeps what `fit` returned in its artefact, so that training, replay and live apply the
    same numbers. Values are float32; a NaN that goes in comes out as one unless filling is what it is for.
    """

    def fit(self, features: NDArray[Any], /) -> Mapping[str, NDArray[Any]]:
        """Statistics of training rows (R, F), by name; empty where one slice is all it needs."""
        ...

    def apply(self, value: NDArray[Any], frozen: Mapping[str, NDArray[Any]], /) -> NDArray[Any]:
        """New values (N, F) of one slice; rows keep their places."""
        ...


class Reweighter(Protocol):
    """Says how much each row of training counts."""

    def weights(self, dataset: Dataset, /) -> Matrix:
        """(T, N), finite and not negative."""
        ...


class Span(msgspec.Struct, frozen=True):
    """Instants since <= ts < until, UTC ns."""

    since: int
    until: int


class Block(msgspec.Struct, frozen=True):
    """A stretch of what a task is judged by, and the backtest path that its predictions belong to."""

    span: Span
    path: int = 0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One training as data. The same task gives the same artefact wherever and whenever it runs.

    Labels of `train` end before its `until`; of those, slices from `valid_from` on decide when to stop. `test` is what
    the artefact is judged by, and may be None. Where what is learned from lies on both sides of it, `left_out` are the
    parts of `train` that are not learned from, and `blocks` the parts of `test` that are tested: none = all of it.
    """

    model: str  # its name in the run file
    use: str
    options: dict[str, Any]  # as resolved, JSON values
    features: str  # name of the feature set
    schema: str  # of the feature set
    inputs: str  # hash of the history: files, universe, calendar, actions
    horizon: int  # slices
    train: Span
    valid_from: int | None = None
    test: Span | None = None
    left_out: tuple[Span, ...] = ()
    blocks: tuple[Block, ...] = ()
    seed: int = 0
    fold: int = 0

    @property
    def key(self) -> str:
        """32 hex digits that tell it from every other task; runs that ended are found by it."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()[:32]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Work for an executor, as data, so that it can run in another process or on another machine."""

    key: str  # unique among the jobs of one call
    call: str  # package.module:function of ours, which takes `argument` and returns bytes
    argument: bytes
    gpus: float = 0.0  # share of a GPU that it needs; executors without one refuse it


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a job: a value, or why there is none."""

    key: str
    value: bytes | None
    error: str = ""  # one line, without secrets
    attempts: int = 1


class Executor(Protocol):
    """Runs jobs that do not depend on each other. What each returns does not depend on the executor."""

    def run(self, jobs: Sequence[Job], /) -> Iterator[Outcome]:
        """One outcome a job, in the order in which they end: tell them by key. A worker that dies fails its job only.

        Closing the iterator ends whatever still runs.
        """
        ...


class Metric(msgspec.Struct, frozen=True):
    """A number of a run at a step, e.g. the loss on the validation part after an epoch or a tree."""

    name: str
    step: int
    value: float


class Tracker(Protocol):
    """Records runs of training. A run begins once, is added to, and ends as `end` or `failed`; one that was killed
    stays at `begin` and begins again."""

    def begin(self, key: str, facts: Mapping[str, Any], /) -> str:
        """The run's id. `facts`: parameters, code and library versions, hashes of data; JSON values."""
        ...

    def log(self, run: str, metrics: Sequence[Metric], /) -> None: ...

    def keep(self, run: str, name: str, content: bytes, /) -> None:
        """A file of the run, e.g. predictions; kept by its content."""
        ...

    def end(self, run: str, status: str, facts: Mapping[str, Any], /) -> None:
        """`status` is end or failed; `facts` are what came out: artefact hash, summary figures, error."""
        ...


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a registry's history."""

    name: str
    artefact: str  # hash
    stage: str  # e.g. candidate, production, retired
    actor: str
    reason: str
    at: int  # UTC ns


class Registry(Protocol):
    """Which artefact of a name serves at which stage. Appends only: nothing that was promoted can be undone unseen."""

    def register(self, name: str, artefact: Artefact, /) -> None:
        """Keeps it, by content, as a candidate. Registering the same one again changes nothing."""
        ...

    def promote(self, name: str, artefact: str, stage: str, /, *, actor: str, reason: str) -> Entry: ...

    def resolve(self, name: str, stage: str, /) -> Artefact:
        """The artefact now at that stage, its hash checked. StateError where there is none."""
        ...

    def history(self, name: str, /) -> tuple[Entry, ...]: ...


class Fold(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Which of T slices are learned from and which are predicted; no label of `train` overlaps one of `test`."""

    train: Mask  # (T,)
    test: Mask  # (T,)
    path: Codes | None = None  # (T,) the backtest path of each test slice, -1 = none; None = a single path


class Splitter(Protocol):
    """Splits over dates, never over rows: all names of a slice lie on the same side."""

    def folds(self, ts: Stamps, label_from: Stamps, label_to: Stamps, /) -> Iterator[Fold]:
        """Folds of T slices whose labels look at [label_from, label_to]."""
        ...
