"""Whether the packages that samewire imports by common names are its own."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

PACKAGES = ("engine", "components", "adapters")


def _found(name: str) -> Path | None:
    """The folder from which this package would be imported."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        return None
    places = list(spec.submodule_search_locations or ())
    return Path(spec.origin or places[0]) if spec.origin or places else None


def stranger(find: Callable[[str], Path | None] = _found, home: Path | None = None) -> str:
    """One sentence about a package that is not ours; empty when all are.

    >>> stranger()
    ''
    """
    home = home or Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        place = find(name)
        if place is None:
            return f"samewire: its package {name!r} is not installed; install samewire again"
        folder = place if place.is_dir() else place.parent
        own = place.resolve().is_relative_to(home / name)
        if not own or (place.is_file() and place.stem != "__init__"):
            shown = place if place.is_file() and place.stem != "__init__" else folder
            return (
                f"samewire: {shown} hides its own package {name!r}; start from another folder, or rename what is there"
            )
    return ""
