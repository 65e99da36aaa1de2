"""The processors in front of a model: applied to one slice at a time, and named as an artefact names them."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from components.models.bundle import Frozen
from components.models.card import Stage
from engine.learning import Processor


def applied(processor: Processor, value: NDArray[Any], frozen: Any) -> NDArray[Any]:
    """One slice (N, F) behind a processor, float32."""
    out = np.asarray(processor.apply(value, frozen), np.float32)
    if out.shape != value.shape:
        kind, _ = said_of_stage(processor)
        raise ValueError(f"processor {kind}: it made {out.shape} of {value.shape}; rows and columns keep their places")
    return out


def said_of_stage(processor: Any) -> tuple[str, dict[str, Any]]:
    """Its kind, and its options as JSON has them."""
    options = msgspec.json.decode(msgspec.json.encode(getattr(processor, "options", {})))
    return getattr(processor, "kind", type(processor).__name__), options


def stages(processors: Sequence[Processor], frozen: Frozen) -> tuple[Stage, ...]:
    """As an artefact names them."""
    return tuple(
        Stage(kind=kind, options=options, frozen={name: list(array.shape) for name, array in statistics.items()})
        for (kind, options), statistics in zip(map(said_of_stage, processors), frozen, strict=True)
    )


def named(found: list[tuple[str, dict[str, Any]]]) -> str:
    """In words, for an error."""
    return ", ".join(f"{kind} {options}" if options else kind for kind, options in found) or "none"
