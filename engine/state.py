"""Bytes of what a component remembers: versioned, checked, without code in them."""

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from engine.errors import StateError

_ARRAY = 1  # the msgpack extension type of an array
_HEAD = 8  # 4 bytes of magic and version, 4 bytes of CRC-32


def encode_hook(value: Any) -> Any:
    """An array as dtype, shape and bytes in C order; a numpy scalar as its Python value."""
    if isinstance(value, np.ndarray):
        head = f"{value.dtype.str}:{','.join(map(str, value.shape))}\n".encode()
        return msgspec.msgpack.Ext(_ARRAY, head + value.tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"state: {type(value).__name__} cannot be written; use numbers, text, lists, dicts or arrays")


def ext_hook(code: int, data: memoryview) -> Any:
    """The array that `encode_hook` wrote, read-only."""
    if code != _ARRAY:
        raise StateError(f"state: unknown extension type {code}; it was written by another version")
    cut = bytes(data[:256]).index(b"\n")
    dtype, _, shape = bytes(data[:cut]).decode().partition(":")
    array = np.frombuffer(data, np.dtype(dtype), offset=cut + 1)
    return array.reshape(tuple(map(int, shape.split(","))) if shape else ())


_encoder = msgspec.msgpack.Encoder(enc_hook=encode_hook)
_decoder = msgspec.msgpack.Decoder(ext_hook=ext_hook)


def pack(kind: str, version: int, /, **fields: Any) -> bytes:
    """Saved state of a component of this kind: numbers, text, lists, dicts and arrays.

    >>> unpack(pack("ema", 1, value=np.array([1.0, 2.0])), "ema", 1)["value"]
    array([1., 2.])
    """
    body = _encoder.encode({"kind": kind, "version": version, "fields": fields})
    return b"SWS1" + zlib.crc32(body).to_bytes(4, "little") + body


def unpack(state: bytes, kind: str, version: int, /) -> dict[str, Any]:
    """The fields that `pack` wrote. Raises StateError for another kind, another version or a damaged byte."""
    body = state[_HEAD:]
    if state[:4] != b"SWS1" or zlib.crc32(body).to_bytes(4, "little") != state[4:_HEAD]:
        raise StateError(f"{kind}: saved state is damaged or not a state at all; start from an older snapshot")
    whole = _decoder.decode(body)
    if (whole["kind"], whole["version"]) != (kind, version):
        found = f"{whole['kind']} v{whole['version']}"
        raise StateError(f"{kind}: saved state is of {found}, this code reads v{version}; load it with that code")
    fields: dict[str, Any] = whole["fields"]
    return fields


def mutable(array: Any) -> Any:
    """A writable copy of a loaded array."""
    return np.array(array)


def check_appended(before: Sequence[str], now: Sequence[str]) -> None:
    """Raises StateError unless the symbols of a saved state stand where they stood: names are appended, never moved."""
    if list(before) == list(now[: len(before)]):
        return
    i = next(i for i, symbol in enumerate(before) if i >= len(now) or now[i] != symbol)
    found = f"is at {now.index(before[i])} now" if before[i] in now else "is not in the universe now"
    raise StateError(
        f"state: symbol {before[i]!r} was at position {i} of the universe when it was saved and {found}; "
        "append new symbols after the old ones and leave none out, or start without the state"
    )


def placed(array: Any, before: Sequence[str], now: Sequence[str], fill: float) -> Any:
    """A writable copy of a loaded array (..., symbols `before`) as (..., symbols `now`); appended names hold `fill`.

    Raises StateError for a symbol that is missing or was moved.

    >>> placed(np.array([[1.0, 2.0]]), ["A", "B"], ("A", "B", "C"), np.nan)
    array([[ 1.,  2., nan]])
    """
    check_appended(before, now)
    out = np.full((*array.shape[:-1], len(now)), fill, array.dtype)
    out[..., : len(before)] = array
    return out
