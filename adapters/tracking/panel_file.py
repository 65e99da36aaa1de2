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
        self._digests.append(_digest(ts, content))
        with _full(self._making):
            self._file.write(content)

    def end(self, card: Card, ts: Stamps, labels: dict[int, tuple[NDArray[Any], Stamps, Stamps]]) -> Path:
        """The folder of the panel. One that is there already stays if its files are what its name says; one that a
        power cut or a full disk left otherwise is replaced.
        """
        with _full(self._making):
            self._file.close()
            parts = {"ts.i64": ts, "digests.u8": np.frombuffer(b"".join(self._digests), np.uint8)}
            for horizon in card.horizons:
                value, since, until = labels[horizon]
                parts |= {f"label_{horizon}.f64": value, f"since_{horizon}.i64": since, f"until_{horizon}.i64": until}
            contents = {name: np.ascontiguousarray(array, _kind(name)).tobytes() for name, array in parts.items()}
            for name, content in (contents | {_CARD: msgspec.json.encode(card)}).items():
                (self._making / name).write_bytes(content)
            for path in (*sorted(self._making.iterdir()), self._making):
                _to_disk(path)
            place = self._folder / _name(card, contents)
            if place.exists() and not _whole(place):
                place.rename(self._making.with_name(f".broken.{os.getpid()}"))  # whoever has mapped it still reads it
                shutil.rmtree(self._making.with_name(f".broken.{os.getpid()}"))
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


def _name(card: Card, contents: dict[str, bytes]) -> str:
    """Of a panel by its content: the features by their digests."""
    whole = blake3(msgspec.json.encode(card))
    for content in contents.values():
        whole.update(content)
    return whole.hexdigest()[:32]


def _digest(ts: int, features: bytes) -> bytes:
    """Of one slice."""
    return blake3(ts.to_bytes(8, "little", signed=True) + features).digest(length=_DIGEST)


def _whole(place: Path) -> bool:
    """Whether all that lies there is what the name and the digests say; each byte is read."""
    try:
        panel = read_panel(place)
    except StateError:
        return False
    arrays = {"ts.i64": panel.ts, "digests.u8": panel.digests}
    for horizon in panel.card.horizons:
        value, since, until = panel.labels[horizon]
        arrays |= {f"label_{horizon}.f64": value, f"since_{horizon}.i64": since, f"until_{horizon}.i64": until}
    if _name(panel.card, {name: array.tobytes() for name, array in arrays.items()}) != place.name:
        return False
    slices = zip(panel.ts.tolist(), panel.features, panel.digests, strict=True)
    return all(_digest(ts, features.tobytes()) == digest.tobytes() for ts, features, digest in slices)


def _to_disk(path: Path) -> None:
    """Returns once a power cut does not lose it."""
    place = os.open(path, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


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
