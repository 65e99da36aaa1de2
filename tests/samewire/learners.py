"""Models of a user that learn, small enough to see through, and accidents that befall them."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from adapters.operators.another_future import AnotherFuture
from components.models.artefact import artefact_of, checked
from engine.events import DAY_NS, Bars, Features, Signal
from engine.learning import Metric
from engine.protocols import Artefact, Dataset, Table
from engine.universe import Universe
from tests.samewire.own import Walk


class Linear:
    """Least squares of labels on features; a few steps of descent, so that there are epochs to resume from."""

    slow_handlers = ()
    lookback = 1

    def __init__(
        self,
        *,
        universe: Universe,
        name: str,
        rng: np.random.Generator,
        epochs: int = 3,
        rate: float = 0.1,
        die_after: int = 0,
        pause_s: float = 0.0,
        refuse_before: int = 0,
        trace: str = "",
        pid: str = "",
        tilt: Table | None = None,
    ) -> None:
        if not 0 < rate <= 1:
            raise ValueError(f"rate must be above 0 and at most 1, got {rate}")
        self._n, self._name, self._epochs, self._rate = len(universe), name, epochs, rate
        self._die_after, self._pause_s, self._trace = die_after, pause_s, trace
        self._pid = pid
        self._refuse_before = refuse_before
        self._start = float(rng.normal()) + (0.0 if tilt is None else float(tilt.columns["tilt"].sum()))
        self._weights: Any = None
        self._hash = ""

    def fit(self, dataset: Dataset, /, *, on_metric: Any = None, checkpoint: Path | None = None) -> Artefact:
        if len(dataset.ts) < self._refuse_before:
            raise ValueError(f"{len(dataset.ts)} slices are too few for me")
        if self._pid:
            Path(self._pid + ".part").write_text(str(os.getpid()))
            Path(self._pid + ".part").rename(self._pid)
        x, y = np.nan_to_num(dataset.features.astype(np.float64)), np.nan_to_num(dataset.label)
        weights, first = np.full(x.shape[2], self._start), 0
        saved = None if checkpoint is None else checkpoint / "epoch.json"
        if saved is not None and saved.exists():
            first, held = msgspec.json.decode(saved.read_bytes())
            weights = np.array(held)
        for epoch in range(first, self._epochs):
            self._note(f"epoch {epoch}")
            gap = x @ weights - y
            weights = weights - self._rate * np.einsum("tn,tnf->f", gap, x) / gap.size
            if on_metric is not None:
                on_metric(Metric("loss", epoch, float(np.mean(gap**2))))
            if saved is not None:
                saved.with_suffix(".part").write_bytes(msgspec.json.encode((epoch + 1, weights.tolist())))
                saved.with_suffix(".part").rename(saved)
            time.sleep(self._pause_s)
            if self._die_after and epoch + 1 == self._die_after and not first:
                os.kill(os.getpid(), signal.SIGKILL)
        return artefact_of({"weights.json": msgspec.json.encode(weights.tolist())})

    def _note(self, said: str) -> None:
        if self._trace:
            with Path(self._trace).open("a") as file:
                file.write(said + "\n")

    def swap(self, artefact: Artefact, /) -> None:
        files = checked(artefact).files
        self._weights, self._hash = np.array(msgspec.json.decode(files["weights.json"])), artefact.hash

    def predict(self, dataset: Dataset, /) -> Any:
        return np.stack([self._answer(value) for value in dataset.features])

    def on_features(self, features: Features, /) -> Signal:
        value = np.full(self._n, np.nan) if self._weights is None else self._answer(features.value.astype(np.float32))
        return Signal(
            ts=features.ts,
            asof=features.ts,
            source=self._name,
            value=value,
            horizon_ns=DAY_NS,
            model_hash=self._hash,
        )

    def _answer(self, value: Any) -> Any:
        return value.astype(np.float64) @ self._weights


class Mute:
    """Learns, and has the same to say of all names until it has learned from so many slices."""

    slow_handlers = ()
    lookback = 1

    def __init__(self, *, universe: Universe, name: str, least: int = 50, refuse_before: int = 0) -> None:
        self._inner = Linear(universe=universe, name=name, rng=np.random.default_rng(0), refuse_before=refuse_before)
        self._least = least

    def fit(self, dataset: Dataset, /) -> Artefact:
        files = self._inner.fit(dataset).files
        return artefact_of(files | ({"mute": b"1"} if len(dataset.ts) < self._least else {}))

    def swap(self, artefact: Artefact, /) -> None:
        self._mute = "mute" in artefact.files
        self._inner.swap(artefact)

    def predict(self, dataset: Dataset, /) -> Any:
        return self._inner.predict(dataset) * (0.0 if self._mute else 1.0)

    def on_features(self, features: Features, /) -> Signal:
        said = self._inner.on_features(features)
        return msgspec.structs.replace(said, value=said.value * (0.0 if self._mute else 1.0))


class Twice:
    """A feed that hands out one slice two times."""

    def __init__(self) -> None:
        self._inner = Walk()
        self.universe, self.interval_ns, self.sectors = self._inner.universe, DAY_NS, ()
        self.span = self._inner.span

    def events(self, start: int | None = None, end: int | None = None) -> Any:
        for k, event in enumerate(self._inner.events(start, end)):
            yield event
            if k == 5 and isinstance(event, Bars):
                yield event

    def issues(self) -> Any:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


class Blocks:
    """A walk whose slices are cut from blocks of 64, as those of files are."""

    def __init__(self, *, symbols: int = 5, slices: int = 100) -> None:
        self._inner = AnotherFuture(of=Walk(symbols=symbols, slices=slices))
        self.universe, self.interval_ns, self.sectors = self._inner.universe, DAY_NS, ()
        self.span = self._inner.span

    def events(self, start: int | None = None, end: int | None = None) -> Any:
        return self._inner.events(start, end)

    def issues(self) -> Any:
        return ()

    def hashes(self) -> dict[str, str]:
        return {}


class Behind:
    """Features out of the block that a slice was cut from; honest ones look at the slice alone."""

    names = ("level", "block")
    lookback = 1

    def __init__(self, *, universe: Universe, honest: bool = False) -> None:
        self.schema, self._honest = f"behind-{honest}", honest

    def on_bars(self, bars: Bars, /) -> Features:
        whole: Any = bars.close if self._honest or bars.close.base is None else bars.close.base
        value = np.column_stack([bars.close, np.full(len(bars.close), np.nanmean(whole))])
        return Features(ts=bars.ts, schema=self.schema, value=value)


class Wary:
    """Features that refuse a slice in which any name is missing."""

    names = ("level",)
    schema, lookback = "wary", 1

    def __init__(self, *, universe: Universe) -> None:
        self._n = len(universe)

    def on_bars(self, bars: Bars, /) -> Features:
        if np.isnan(bars.close).any():
            raise ValueError(f"{int(np.isnan(bars.close).sum())} of {self._n} names are missing")
        return Features(ts=bars.ts, schema=self.schema, value=bars.close[:, None])


class Backfills:
    """Learns, and answers the slice of one day in a hundred by the features of the slice that follows."""

    slow_handlers = ()
    lookback = 1

    def __init__(self, *, universe: Universe, name: str, nth: int = 64) -> None:
        self._inner = Linear(universe=universe, name=name, rng=np.random.default_rng(0))
        self._nth = nth

    def fit(self, dataset: Dataset, /) -> Artefact:
        return self._inner.fit(dataset)

    def swap(self, artefact: Artefact, /) -> None:
        self._inner.swap(artefact)

    def predict(self, dataset: Dataset, /) -> Any:
        said = self._inner.predict(dataset)
        holes = np.flatnonzero((dataset.ts[:-1] // DAY_NS) % 100 == self._nth)
        said[holes] = said[holes + 1]
        return said

    def on_features(self, features: Features, /) -> Signal:
        return self._inner.on_features(features)


class Narrow:
    """A network of a user's own: one hidden layer over the whole window."""

    kind = "narrow"

    def __init__(self, *, hidden: int = 4) -> None:
        self.options = {"hidden": hidden}
        self._hidden = hidden

    def parts(self, width: int, steps: int, /) -> Any:
        from torch import nn

        return nn.ModuleDict({"in": nn.Linear(width * steps, self._hidden), "out": nn.Linear(self._hidden, 1)})

    def forward(self, parts: Any, x: Any, /) -> Any:
        return parts["out"](parts["in"](x.flatten(1)).tanh())[:, 0]
