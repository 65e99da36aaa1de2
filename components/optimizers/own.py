"""Methods, terms and constraints of the user's own within optimizers of ours.

What they are handed are copies, what they answer is checked and copied, and what is wrong is told in their own name:
the optimizer that asked them would be blamed for it otherwise.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args, get_origin

import numpy as np

from components.optimizers.problem import Constraint, Decision, Method, Piece, Remark, Rows, Situation, Term
from engine.nested import Part
from engine.sealing import copied, users_own

_EVENTS = ("on_bars", "on_actions", "on_reference")
_PIECES: tuple[type[Any], ...] = get_args(Piece)


def method_of(method: Method) -> Method:
    """The method; one of the user's own behind checks of its decisions."""
    return _Method(method) if users_own(method) else method


def term_of(term: Term) -> Term:
    """The term; one of the user's own behind checks of its pieces."""
    return _Term(term) if users_own(term) else term


def constraint_of(constraint: Constraint) -> Constraint:
    """The constraint; one of the user's own behind checks of its pieces."""
    return _Constraint(constraint) if users_own(constraint) else constraint


class _Method:
    """A decision for all symbols that there are."""

    def __init__(self, method: Method) -> None:
        self._part = _declared(self, "method", method)

    def weights(self, at: Situation, /) -> Decision:
        part, n = self._part, len(at.w0)
        answer = part.ask("weights", at.ts, _handed(at))
        if answer.__class__ is not Decision:
            raise part.wrong("weights", at.ts, f"it answered a {type(answer).__name__}, not a Decision")
        remarks = tuple(self._remark(at.ts, remark, n) for remark in answer.remarks)
        if answer.weights is None:
            return Decision(weights=None, reason=str(answer.reason) or "it gave no reason", remarks=remarks)
        weights = part.numbers("weights", at.ts, answer.weights, (n,), ": a weight for each symbol")
        return Decision(weights=weights, reason=str(answer.reason), remarks=remarks)

    def _remark(self, ts: int, remark: Any, n: int) -> Remark:
        part = self._part
        if remark.__class__ is not Remark:
            raise part.wrong("weights", ts, f"a remark is a {type(remark).__name__}, not a Remark")
        symbol = part.numbers("symbol of a remark", ts, remark.symbol, (-1,))
        if ((symbol < 0) | (symbol >= n)).any():
            raise part.wrong("weights", ts, f"a remark is of symbol {symbol.max():g}; there are 0 to {n - 1}")
        value = part.numbers("value of a remark", ts, remark.value, (-1,))
        return Remark(kind=str(remark.kind), text=str(remark.text), symbol=copied(symbol.astype(np.int32)), value=value)


class _Term:
    """Pieces of the objective, of the symbols that there are."""

    def __init__(self, term: Term) -> None:
        self._part = _declared(self, "term", term)

    def cost(self, at: Situation, /) -> tuple[Piece, ...]:
        return _pieces(self._part, "cost", at)


class _Constraint:
    """Pieces of what is allowed, of the symbols that there are."""

    def __init__(self, constraint: Constraint) -> None:
        self._part = _declared(self, "constraint", constraint)
        self.soft: float | None = constraint.soft
        self.firm: bool = bool(getattr(constraint, "firm", False))

    def allows(self, at: Situation, /) -> tuple[Piece, ...]:
        return _pieces(self._part, "allows", at)


def _declared(outer: Any, group: str, inner: Any) -> Part:
    """The part, with what the class declares beside its method passed on to `outer`."""
    part = Part(group, inner)
    part.passed_on(outer, *_EVENTS)
    outer.needs_risk = bool(getattr(inner, "needs_risk", False))
    outer.lookback = int(getattr(inner, "lookback", 0))
    return part


def _handed(at: Situation) -> Situation:
    """The situation with arrays that nobody else holds; the risk estimate's are read-only already."""
    changed: dict[str, Any] = {}
    for field in fields(at):
        value = getattr(at, field.name)
        if isinstance(value, np.ndarray):
            changed[field.name] = copied(value)
    matrices: Mapping[str, Any] = {name: copied(matrix) for name, matrix in at.references.items()}
    return replace(at, **changed, references=matrices, columns=dict(at.columns))


def _pieces(part: Part, method: str, at: Situation) -> tuple[Piece, ...]:
    answer = part.ask(method, at.ts, _handed(at))
    if not isinstance(answer, tuple | list):
        raise part.wrong(method, at.ts, f"it answered a {type(answer).__name__}, not a tuple of pieces")
    return tuple(_piece(part, method, at, piece) for piece in answer)


def _piece(part: Part, method: str, at: Situation, piece: Any) -> Piece:
    """The piece with arrays of its own, of the right shapes."""
    if piece.__class__ not in _PIECES:
        known = ", ".join(kind.__name__ for kind in _PIECES)
        raise part.wrong(method, at.ts, f"a piece is a {type(piece).__name__}; pieces are {known}")
    n, rows = len(at.w0), len(piece.labels) if isinstance(piece, Rows) else -1
    shapes = {"A": (rows, n), "low": (rows,), "high": (rows,), "returns": (-1, n)}
    changed: dict[str, Any] = {}
    for field in fields(piece):
        value = getattr(piece, field.name)
        if _is_array(field.type) and value is not None:
            said = f"{method}, {field.name} of {piece.name!r}"
            changed[field.name] = part.numbers(said, at.ts, value, shapes.get(field.name, (n,)))
    checked: Piece = replace(piece, **changed)
    return checked


def _is_array(kind: Any) -> bool:
    """Whether a field's type is an array, or an array or None."""
    return np.ndarray in (get_origin(each) for each in (kind, *get_args(kind)))
