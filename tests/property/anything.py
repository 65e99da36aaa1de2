"""Events of every type with any content: every bit pattern of a float, empty arrays, huge numbers."""

import struct
from enum import Enum
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np
from hypothesis import strategies as st

from engine.events import EVENT_TYPES, INPUT_ORDER, Features, OpenOrders, Signal, Timer

_FLOATS = st.integers(0, (1 << 64) - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
_ODD = st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324])
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(1 << 63), (1 << 63) - 1),
    float: _FLOATS | _ODD,
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
}


def _dtype(hint: Any) -> Any:
    for part in (hint, *get_args(hint)):
        if get_origin(part) is np.ndarray:
            return np.dtype(get_args(get_args(part)[1])[0])
    return None


@st.composite
def array(draw: st.DrawFn, dtype: np.dtype[Any], width: int | None = None) -> Any:
    """(L,) or (L, width), of any bits that its type has."""
    rows = draw(st.integers(0, 5))
    count = rows * (1 if width is None else width)
    if dtype == np.bool_:
        found = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), np.bool_)
    else:
        size = count * dtype.itemsize
        found = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), dtype)
    return found if width is None else found.reshape(rows, width)


def _field(owner: type[Any], name: str, hint: Any) -> st.SearchStrategy[Any]:
    if hint is OpenOrders:
        return struct_of(OpenOrders)
    if get_origin(hint) is tuple:
        arrays = _dtype(get_args(hint)[0]) is not None
        return st.lists(array(np.dtype(np.float64)) if arrays else _PLAIN[str], max_size=3).map(tuple)
    dtype = _dtype(hint)
    if dtype is not None:
        wide = (owner.__name__, name) in {("Reference", "value"), ("Features", "value"), ("Fills", "fees")}
        found = array(dtype, 3 if wide else None)
        return found | st.none() if type(None) in get_args(hint) else found
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(hint)
    return _PLAIN[hint]


def struct_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    fields = {name: _field(kind, name, hints[name]) for name in kind.__struct_fields__}
    return st.builds(lambda **given: kind(**given), **fields)


def events(kinds: tuple[type[Any], ...] = EVENT_TYPES) -> st.SearchStrategy[Any]:
    return st.one_of([struct_of(kind) for kind in kinds])


def runs() -> st.SearchStrategy[list[tuple[list[str], list[Any]]]]:
    """Completed runs: an input and what followed, with who said it."""
    names = st.sampled_from(["broker", "ledger", "a", "b"])
    run = st.tuples(events(INPUT_ORDER), st.lists(st.tuples(names, events()), max_size=4))
    return st.lists(
        run.map(lambda r: (["input", *(name for name, _ in r[1])], [r[0], *(event for _, event in r[1])])), max_size=4
    )


_FAR = 300  # rows of 8 bytes: more than what is always written whole
_CHANGES = st.lists(
    st.tuples(st.integers(0, 2**31), st.integers(1, 255)) | st.just("everything") | st.just("length"), max_size=3
)


@st.composite
def long_runs(draw: st.DrawFn) -> list[tuple[list[str], list[Any]]]:
    """Runs of one input, and signals and features with long columns, each like the one before but for a few words.

    Now and then every word is another, for some runs in a row, or the length is.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.sampled_from([_FAR, _FAR + 1, 2 * _FAR]))
    value, found = rng.normal(size=count), list[tuple[list[str], list[Any]]]()
    for k, changes in enumerate(draw(st.lists(_CHANGES, min_size=4, max_size=24))):
        value = value.copy()
        for change in changes:
            if change == "everything":
                value = rng.normal(size=len(value))
            elif change == "length":
                value = np.append(value, 1.0) if len(value) % 2 else value[:-1].copy()
            else:
                value.view(np.uint8)[change[0] % (8 * len(value))] ^= change[1]
        odd = np.concatenate([value.view(np.uint8), rng.integers(0, 256, 3).astype(np.uint8)])
        said = [
            Signal(ts=k, asof=k, source="s", value=value, horizon_ns=0),
            Signal(ts=k, asof=k, source="bytes", value=odd, horizon_ns=0),  # some behind the last whole word
            Features(ts=k, schema="f", value=value.reshape(-1, 1)),
        ]
        found.append((["input", "s", "bytes", "f"], [Timer(ts=k, name="t", due=k), *said]))
    return found


def bits(value: Any) -> Any:
    """A value such that two are equal only if every bit is."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, tuple | list):
        return tuple(map(bits, value))
    if hasattr(value, "__struct_fields__"):
        return type(value).__name__, tuple((name, bits(getattr(value, name))) for name in value.__struct_fields__)
    return value
