"""What of a model's own keys in a run file exclude each other, or do not fit its class."""

from samewire.artefacts import REGISTRY
from samewire.reading import ModelKeys
from samewire.registry import resolve
from samewire.run_file import Component
from samewire.yaml_text import Entries


def exclusive(component: Component, keys: ModelKeys, entries: Entries) -> tuple[tuple[bool, str, str, str], ...]:
    """Every rule as (whether it is broken, the key, what was said, what is expected)."""
    kind = resolve("models", component.use)
    train = keys.train
    return (
        (train is not None and keys.artefact is not None, "artefact", "train and artefact", "one of the two"),
        (train is not None and keys.retrain is not None, "retrain", "train and retrain", "one of the two"),
        (keys.lag > 0 and keys.latency > 0, "latency", "lag and latency", "one of the two"),
        (
            train is not None and train.since is not None and train.until < train.since,
            "train",
            "until before since",
            "an end after the beginning",
        ),
        (
            keys.features is None and not hasattr(kind, "on_bars"),
            "use",
            f"{component.use} reads features and none are named",
            "features: NAME",
        ),
        (
            keys.features is not None and not hasattr(kind, "on_features"),
            "features",
            f"{component.use} reads bars, not features",
            "no features",
        ),
        *(
            (
                said is not None and not hasattr(kind, "fit"),
                key,
                f"{component.use} has nothing to train",
                f"no {key}",
            )
            for key, said in (("train", train), ("retrain", keys.retrain))
        ),
        (
            "registry" in entries.values and not str(keys.artefact).startswith(REGISTRY),
            "registry",
            "a registry that no artefact names",
            "artefact: registry:NAME@STAGE, or no registry",
        ),
        (
            keys.artefact is not None and not hasattr(kind, "swap"),
            "artefact",
            f"{component.use} takes no artefact",
            "no artefact",
        ),
    )
