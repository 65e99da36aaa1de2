"""Deterministic order ids: what is decided twice has the same id, so sending it again changes nothing."""

import hashlib

import numpy as np

from engine.events import Ids

# Arrays of no dimension: numpy converts scalars anew at every operation.
_GOLDEN = np.array(0x9E3779B97F4A7C15, np.uint64)
_STEPS = np.arange(1, 4097, dtype=np.uint64) * _GOLDEN
_STEPS.flags.writeable = False
_MIX_A, _MIX_B = np.array(0xBF58476D1CE4E5B9, np.uint64), np.array(0x94D049BB133111EB, np.uint64)
_SEED = np.dtype("<u8")
_BY_30, _BY_27, _BY_31 = (np.array(bits, np.uint64) for bits in (30, 27, 31))


class OrderIds:
    """Ids of the legs that one component of one session sends.

        id = mix(hash(session, component, slice ts) + golden * (attempt * 2^32 + leg + 1))

    `mix` is a bijection of 64-bit integers, so the legs of one slice never collide; 0 is kept for "none".
    Source: Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators, OOPSLA, section 4 (mix).

    >>> ids = OrderIds("quickstart", "optimizer")
    >>> bool((ids(ts=5, count=3) == ids(ts=5, count=3)).all()), len(set(ids(ts=5, count=3).tolist()))
    (True, 3)
    """

    def __init__(self, session: str, component: str) -> None:
        self._prefix = f"{session}\x1f{component}\x1f".encode()
        self.sent = (0, 0)  # slice of the latest `following`, legs sent in it; what a component that uses it saves

    def following(self, *, ts: int, count: int) -> Ids:
        """Ids behind those of the same slice so far: strategies of several intervals may decide at one instant."""
        first = self.sent[1] if self.sent[0] == ts else 0
        self.sent = (ts, first + count)
        return self(ts=ts, count=count, first=first)

    def __call__(self, *, ts: int, count: int, first: int = 0, attempt: int = 0) -> Ids:
        seed = hashlib.blake2b(self._prefix + b"%d" % ts, digest_size=8).digest()
        if attempt == 0 and first + count <= len(_STEPS):
            steps = _STEPS[first : first + count]
        else:
            steps = (np.arange(first + 1, first + count + 1, dtype=np.uint64) + np.uint64(attempt << 32)) * _GOLDEN
        z: Ids = steps + np.frombuffer(seed, _SEED)
        z ^= z >> _BY_30
        z *= _MIX_A
        z ^= z >> _BY_27
        z *= _MIX_B
        z ^= z >> _BY_31
        if np.count_nonzero(z) < count:
            z[z == 0] = _GOLDEN
        return z


def id_text(order_id: int) -> str:
    """The written form of an id: 16 hexadecimal digits.

    >>> id_text(255)
    '00000000000000ff'
    """
    return f"{order_id:016x}"
