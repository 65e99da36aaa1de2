"""Recorded sessions over a feed with every fault, cut off and stopped on the way, another model from their middle."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from samewire.artefacts import registry_at
from samewire.cli import main
from samewire.prepare import wired
from samewire.schema import load_run
from tests.samewire.live.sessions import Ground

RUN = """\
schema: 1
session: {name: faulty, cash: 1_000_000, start: 2019-02-01, end: 2019-04-30, seed: 3, snapshot_every: 13}
feed: {use: sample, symbols: 12, years: 2}
models:
  - {name: plane, use: linear, features: rolling, train: {until: 2018-12-31}}
  - {name: mom, use: momentum, window: 5, lag: 1}
strategy: {name: top, use: topk_dropout, topk: 4, n_drop: 1, signal: plane}
optimizer: direct
broker: {use: simulated, fill: next_open, costs: {commission_bps: 5, slippage_bps: 5}}
"""


class Outcome(msgspec.Struct, kw_only=True):
    """What one session came to. `codes`: of fetch, verify, verify from the last snapshot, as seen, as final."""

    seed: int
    faults: dict[str, float]
    restarts: int
    late: int
    slices: int
    codes: list[int]

    @property
    def identical(self) -> bool:
        return not any(self.codes)


def another(folder: Path) -> str:
    """Trains the model on less history, keeps that in a registry beside the run file. Returns its hash."""
    run = load_run(folder / "run.yaml")
    spec = run.models[0]
    assert spec.train is not None
    until = spec.train.model_copy(update={"until": spec.train.until.replace(month=10)})
    less = replace(run, models=(replace(spec, train=until), *run.models[1:]))
    artefact = wired(less, None, None).learnt.artefacts["plane"]
    registry_at(folder / "registry").register("plane", artefact)
    return artefact.hash


async def session(folder: Path, address: str, env: str, seed: int) -> Outcome:
    """One session in a folder of its own; what it does depends on the seed alone, but for when it is cut off."""
    (folder / "run.yaml").write_text(RUN)
    rng = np.random.default_rng([seed, 20])
    shares = dict(
        zip(
            ("delay", "reorder", "duplicate", "correct", "drop"), rng.uniform(0, 0.06, 5).round(3).tolist(), strict=True
        )
    )
    ground = Ground(folder / "run.yaml", address, env, "live.snapshot_every=10")
    wrong = [f"--{name}={share}" for name, share in shares.items()]
    await ground.feed(*wrong, f"--seed={seed}", partitions=int(rng.integers(1, 5)))
    stops = sorted(rng.choice(np.arange(5, 50), int(rng.integers(2, 4)), replace=False).tolist())
    swap = int(rng.integers(0, len(stops)))
    for place, until in enumerate(stops):
        await ground.live(until=until, kill=bool(rng.random() < 0.6))
        if place == swap:
            await ground.ask("swap_model", component="plane", artefact=another(folder), reason="less history")
    said = await ground.live()
    return Outcome(
        seed=seed,
        faults=shares,
        restarts=len(stops),
        late=said["late"],
        slices=said["slices"],
        codes=await checked(ground, folder),
    )


async def checked(ground: Ground, folder: Path) -> list[int]:
    """The exit codes of everything that proves a recorded session."""
    live = str(folder / "live")
    codes = [await ground.command("fetch", "--out", live)]
    for arguments in (["verify", live], ["verify", live, "--from", "last"]):
        codes.append(await asyncio.to_thread(main, arguments))
    codes.append(await ground.command("replay", "--as-seen"))
    codes.append(await ground.command("replay", "--as-final"))
    return codes


def swapped(directory: Path) -> list[Any]:
    """The artefacts that were put to use, in their order."""
    from samewire.recorded import open_recorded

    return [e.plain["artefact"] for e in open_recorded(directory).entries() if e.kind == "Control" and e.input]
