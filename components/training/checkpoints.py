"""A training's state as one file that is always whole: tensors, and JSON in the file's own header. No code in it."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import StateError, writing

_NAME = "epoch.safetensors"


def write_checkpoint(folder: Path, tensors: Mapping[str, Any], said: Mapping[str, Any], name: str = _NAME) -> None:
    """Takes the place of the one of this name in the folder, whole or not at all, whenever the machine stops.

    StateError where it cannot be written; the last one stays.
    """
    from safetensors.torch import save

    body = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"said": msgspec.json.encode(said, order="sorted").decode(), "digest": _digest(body, said)}
    content = save(body, header)
    making = folder / _making(name)  # the folder belongs to one training, and that to one process
    with writing(folder / name):
        try:
            with making.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            making.replace(folder / name)
        except OSError:  # such as of a full disk
            with contextlib.suppress(OSError):
                making.unlink()
            raise
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def read_checkpoint(
    folder: Path, name: str = _NAME, *, advice: str = "; remove it to train from the start"
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """What `write_checkpoint` wrote last, None where there is nothing yet. StateError for a damaged file, which ends
    with the advice: none where the caller has older ones."""
    from safetensors import SafetensorError, safe_open

    (folder / _making(name)).unlink(missing_ok=True)  # of one that was killed while it wrote
    path = folder / name
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            body = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        said: dict[str, Any] = msgspec.json.decode(header.get("said", ""))
    except (SafetensorError, msgspec.MsgspecError, OSError, ValueError) as error:
        raise StateError(f"{path}: no checkpoint can be read ({error}){advice}") from error
    if header.get("digest") != _digest(body, said):
        raise StateError(f"{path}: it is not the checkpoint that was written{advice}")
    return body, said


def _making(name: str) -> str:
    return f".{name}.making"


def spelled(state: Any) -> Any:
    """A generator's state with its 128-bit numbers as text, which JSON of any reader keeps whole.

    >>> unspelled(spelled({"bit_generator": "PCG64", "state": {"inc": 2**127}}))["state"]["inc"] == 2**127
    True
    """
    if isinstance(state, dict):
        return {name: spelled(each) for name, each in state.items()}
    return f"{state}" if isinstance(state, int) and not isinstance(state, bool) else state


def unspelled(state: Any) -> Any:
    """What `spelled` was given."""
    if isinstance(state, dict):
        return {name: each if name == "bit_generator" else unspelled(each) for name, each in state.items()}
    return int(state)


def under(prefix: str, tensors: Mapping[str, Any]) -> dict[str, Any]:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): each for name, each in tensors.items() if name.startswith(prefix)}


def _digest(tensors: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """BLAKE3 of all that is in a checkpoint."""
    from blake3 import blake3

    whole = blake3(msgspec.json.encode(said, order="sorted"))
    for name in sorted(tensors):
        array = tensors[name].numpy()
        whole.update(msgspec.json.encode([name, str(array.dtype), list(array.shape)]))
        whole.update(array.reshape(-1).view("u1").data)
    return whole.hexdigest()
