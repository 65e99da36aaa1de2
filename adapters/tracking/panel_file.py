"""A panel as files that many processes map into memory: written once, slice by slice, named by its content.

panels/HASH/panel.json       names, schema, symbols, shape, horizons
panels/HASH/features.f32     (T, N, F) float32, little-endian, as are the others
panels/HASH/ts.i64, digests.u8, label_H.f64, since_H.i64, until_H.i64
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from engine.errors import StateError
from engine.events import Stamps

_CARD, _DIGEST = "panel.json", 32


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What a panel is, beside its arrays."""

    names: tuple[str, ...]
    schema: str
    symbols: tuple[str, ...]
    interval_ns: int
    slices: int
    horizons: tuple[int, ...]


class PanelFile(msgspec.Struct, frozen=True, eq=False):
    """A panel in memory; its features stay in the file and are read where they are looked at."""

    card: Card
    hash: str
    ts: Stamps
    features: NDArray[Any]  # (T, N, F)
    digests: NDArray[Any]  # (T, 32)
    labels: dict[int, tuple[NDArray[Any], Stamps, Stamps]]  # by horizon: label (T, N), since (T,), until (T,)


class PanelWriter:
    """Takes slices one by one and keeps none of them in memory."""

    def __init__(self, folder: Path) -> None:
        """`folder` is that of all panels."""
        self._folder = folder
        self._making = folder / f".making.{os.getpid()}"
        with _full(self._making):
            shutil.rmtree(self._making, ignore_errors=True)
            self._making.mkdir(parents=True)
            self._file = (self._making / "features.f32").open("wb")
        self._digests: list[bytes] = []

    def write(self, ts: int, features: NDArray[Any]) -> None:
        """One slice: (N, F) float32."""
        content = np.ascontiguousarray(features, "<f4").tobytes()
        self._digests.append(blake3(ts.to_bytes(8, "little", signed=True) + content).digest(length=_DIGEST))
        with _full(self._making):
            self._file.write(content)

    def end(self, card: Card, ts: Stamps, labels: dict[int, tuple[NDArray[Any], Stamps, Stamps]]) -> Path:
        """The folder of the panel; one that is there already stays."""
        with _full(self._making):
            self._file.close()
            parts = {"ts.i64": ts, "digests.u8": np.frombuffer(b"".join(self._digests), np.uint8)}
            for horizon in card.horizons:
                value, since, until = labels[horizon]
                parts |= {f"label_{horizon}.f64": value, f"since_{horizon}.i64": since, f"until_{horizon}.i64": until}
            whole = blake3(msgspec.json.encode(card))
            for name, array in parts.items():
                content = np.ascontiguousarray(array, _kind(name)).tobytes()
                whole.update(content)
                (self._making / name).write_bytes(content)
            (self._making / _CARD).write_bytes(msgspec.json.encode(card))
            place = self._folder / whole.hexdigest()[:32]
            if place.exists():
                shutil.rmtree(self._making)
            else:
                self._making.rename(place)
        return place

    def discard(self) -> None:
        """What was written so far is removed; after `end` nothing is."""
        with contextlib.suppress(OSError):  # what cannot be written was told when it was tried
            self._file.close()
        shutil.rmtree(self._making, ignore_errors=True)


def read_panel(folder: Path) -> PanelFile:
    """Maps a panel. StateError where the files are not as long as the card says."""
    try:
        card = msgspec.json.decode((folder / _CARD).read_bytes(), type=Card)
        t, n, f = card.slices, len(card.symbols), len(card.names)
        features = _array(folder / "features.f32", (t, n, f))
        labels = {
            h: (
                _array(folder / f"label_{h}.f64", (t, n)),
                _array(folder / f"since_{h}.i64", (t,)),
                _array(folder / f"until_{h}.i64", (t,)),
            )
            for h in card.horizons
        }
        digests = _array(folder / "digests.u8", (t, _DIGEST))
        return PanelFile(card, folder.name, _array(folder / "ts.i64", (t,)), features, digests, labels)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise StateError(f"{folder}: no panel can be read ({error}); run the training again") from error


def _array(path: Path, shape: tuple[int, ...]) -> NDArray[Any]:
    kind = np.dtype(_kind(path.name))
    size = kind.itemsize * int(np.prod(shape))
    if path.stat().st_size != size:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes and should have {size}")
    if not size:
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", shape=shape).view(np.ndarray)


def _kind(name: str) -> str:
    return {"f32": "<f4", "f64": "<f8", "i64": "<i8", "u8": "u1"}[name.rpartition(".")[2]]


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """While this lasts nobody sweeps the panels of `folder`; the last one to leave does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield
        finally:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                pass  # another training still reads them
            else:
                for path in sorted(folder.iterdir()):
                    if path.name != ".lock":
                        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def _full(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateError(
            f"{path}: the panel cannot be written ({error.strerror}); free some space, shorten the history "
            "(training.since) or name another store"
        ) from error
