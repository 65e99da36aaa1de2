"""Rows sorted into bins, kept between trainings where there is a folder for them: nothing depends on whether there is.

Finding and filling bins takes longer than growing the first trees, and is the same for every seed and every parameter
that is not about bins.
"""

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.models import gbdt_trees as trees
from engine.errors import StateError, writing

# Parameters that bins, or what the library keeps beside them, depend on.
_OF_BINS = frozenset(
    {"max_bin", "min_data_in_bin", "bin_construct_sample_cnt", "data_random_seed", "use_missing", "zero_as_missing"}
    | {"feature_pre_filter", "enable_bundle", "force_col_wise"}
)

_PART = 1 << 20  # bytes that are hashed at once


def binned(lgb: Any, part: "trees.Part", params: dict[str, Any], ranking: bool, folder: Path | None) -> Any:
    """The library's set of these rows, read from the folder where an earlier training left it there.

    A file is named by the content of the features, the parameters of bins and the version of the library; labels and
    weights are none of it. Its own hash stands beside it; one that differs from that or cannot be read is made again.
    The folder must be the user's own: whoever writes a file there can write its hash too.
    """
    path = None if folder is None else folder / f"{_key(lgb, part, params)}.bin"
    found = None if path is None else _read(lgb, path, params, part.features.shape)
    if found is None:
        found = lgb.Dataset(part.features, label=part.rows.label, params=params, free_raw_data=True)
        found.construct()
        if path is not None:
            _keep(lgb, found, path, params)
    found.set_label(part.rows.label)
    found.set_weight(part.rows.weight)
    if ranking:
        found.set_group(part.rows.counts)
    return found


def _key(lgb: Any, part: "trees.Part", params: dict[str, Any]) -> str:
    from blake3 import blake3

    said = [lgb.__version__, list(part.features.shape), {name: params.get(name) for name in sorted(_OF_BINS)}]
    whole = blake3(msgspec.json.encode(said, order="sorted"))
    whole.update(np.ascontiguousarray(part.features).reshape(-1).view(np.uint8).data)
    return str(whole.hexdigest(length=16))


def _read(lgb: Any, path: Path, params: dict[str, Any], shape: tuple[int, ...]) -> Any:
    if not path.is_file() or _said_of(path) != _hash_of(path):
        return None
    try:
        found = lgb.Dataset(str(path), params=params).construct()
    except lgb.basic.LightGBMError:
        return None
    return found if (found.num_data(), found.num_feature()) == shape else None


def _keep(lgb: Any, found: Any, path: Path, params: dict[str, Any]) -> None:
    """Whole or not at all, and beside other trainings that may keep the same.

    The hash is written last: rows without theirs are made again. StateError where they cannot be written.
    """
    making = path.with_suffix(f".{os.getpid()}.making")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                found.save_binary(str(making))
                _check_whole(lgb, found, making, params)
            except lgb.basic.LightGBMError as error:
                said = str(error).partition(str(making))[0].strip()
                raise StateError(
                    f"{path}: rows in bins cannot be kept there ({said}); free some space or look at who may write "
                    "there, name another folder with `bins`, or leave it out"
                ) from error
            said = _hash_of(making)
            making.replace(path)
            making.write_text(said)
            making.replace(path.with_suffix(".blake3"))
        finally:
            making.unlink(missing_ok=True)


def _check_whole(lgb: Any, found: Any, making: Path, params: dict[str, Any]) -> None:
    """Raises the library's error where a file is cut off, as its last part may be without a word on a full disk."""
    there = lgb.Dataset(str(making), params=params).construct()
    if (there.num_data(), there.num_feature()) != (found.num_data(), found.num_feature()):
        raise lgb.basic.LightGBMError("what was written is not whole")


def _said_of(path: Path) -> str:
    """The hash that was written with these rows, empty where there is none."""
    beside = path.with_suffix(".blake3")
    return beside.read_text(errors="replace") if beside.is_file() else ""


def _hash_of(path: Path) -> str:
    from blake3 import blake3

    whole = blake3()
    with path.open("rb") as file:
        while part := file.read(_PART):
            whole.update(part)
    return str(whole.hexdigest())
