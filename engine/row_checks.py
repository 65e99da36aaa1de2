"""Short checks of bars that are not stored: they name the symbol and the field that a later reading has otherwise."""

import numpy as np

FIELDS = ("open", "high", "low", "close", "volume", "vwap")  # the first columns of Bars, all of one type
_ODD = np.array([(0x9E3779B97F4A7C15 * (2 * i + 1)) % (1 << 64) | 1 for i in range(len(FIELDS))], np.uint64)[:, None]
_TOP = np.array(48, np.uint64)


def row_checks(columns: bytes, n: int) -> tuple[bytes, bytes]:
    """(N,) two bytes for each symbol and (fields,) eight for each field, of the columns of Bars one after the other.

    Those of equal bars are equal, those of bars that differ agree with a chance of one in 65,536: a digest proves,
    these only say where to look. Status, membership and extra columns have none.
    """
    bits = np.frombuffer(columns, np.uint64, len(FIELDS) * n).reshape(len(FIELDS), n) * _ODD
    rows = np.bitwise_xor.reduce(bits, axis=0) >> _TOP
    return rows.astype(np.uint16).tobytes(), np.add.reduce(bits, axis=1).tobytes()


def differing(columns: bytes, n: int, rows: bytes, fields: bytes) -> tuple[list[int], list[str]]:
    """Symbols and fields whose recorded checks these columns do not agree with."""
    own_rows, own_fields = row_checks(columns, n)
    if len(rows) != len(own_rows) or len(fields) != len(own_fields):
        return [], []
    symbols = np.frombuffer(rows, np.uint16) != np.frombuffer(own_rows, np.uint16)
    odd = np.frombuffer(fields, np.uint64) != np.frombuffer(own_fields, np.uint64)
    return np.flatnonzero(symbols).tolist(), [name for name, each in zip(FIELDS, odd.tolist(), strict=True) if each]
