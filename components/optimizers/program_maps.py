"""What cvxpy compiled a program to, taken as one sparse matrix: each solve is one product with it, and no cvxpy.

The names taken from cvxpy (`param_prob` and what it has) are semi-public: where one is missing, `mapped` says None and
the program is solved by cvxpy itself. A test compares the two ways.

    minimise 1/2 x'P x + q'x    subject to    A x + b in a product of cones: zero, nonnegative, second order
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from components.optimizers.program_statement import Statement
from engine.events import Codes, Mask, Vector


@dataclass(frozen=True, slots=True)
class Cones:
    zero: int
    nonneg: int
    second: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entries:
    """Where the entries of a matrix are that may be other than 0, column by column."""

    rows: Codes
    cols: Codes


@dataclass(frozen=True, slots=True)
class Bounds:
    """Rows that are bounds on one column: at most one from below and one from above for each. -1 = none."""

    lower: Codes  # (columns,) row
    upper: Codes  # (columns,) row
    lower_by: Vector  # (columns,) the coefficient in that row
    upper_by: Vector


@dataclass(frozen=True, slots=True)
class Raw:
    """The program of one set of figures, before what is idle leaves it."""

    q: Vector
    b: Vector
    A: Vector  # values of the entries
    P: Vector
    idle: Mask  # (columns,)


@dataclass(frozen=True, slots=True)
class Maps:
    """From the vector of all parameters to the program."""

    product: Any  # CSR: parameters and a 1 -> q, entries of b, of A, of P
    ends: tuple[int, int, int]  # where q, b and A end in it
    A: Entries
    P: Entries
    b_rows: Codes
    cones: Cones
    bounds: Bounds
    parameters: tuple[tuple[str, int, int], ...]  # name, begin, end
    size: int
    variables: dict[str, slice]
    constraints: dict[str, slice]

    @property
    def rows(self) -> int:
        return self.cones.zero + self.cones.nonneg + sum(self.cones.second)

    def raw(self, values: dict[str, Any], idle: dict[str, Mask]) -> Raw:
        given = np.empty(self.size)
        given[-1] = 1.0
        for name, begin, end in self.parameters:
            given[begin:end] = values[name].ravel(order="F")
        found = self.product @ given
        q_end, b_end, A_end = self.ends
        b = np.zeros(self.rows)
        b[self.b_rows] = found[q_end:b_end]
        unused = np.zeros(q_end, bool)
        for name, mask in idle.items():
            unused[self.variables[name]] = mask
        return Raw(found[:q_end], b, found[b_end:A_end], found[A_end:], unused)


def mapped(statement: Statement, solver: str) -> Maps | None:
    """The maps of a program as cvxpy compiles it for a solver, or None if this cvxpy does not show them."""
    try:
        return _taken(statement, solver)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _taken(statement: Statement, solver: str) -> Maps:
    for parameter in statement.parameters.values():
        parameter.save_value(np.zeros(parameter.shape))  # cvxpy evaluates what it compiles
    data, _, _ = statement.program.get_problem_data(solver, canon_backend="COO")
    compiled = data["param_prob"]
    compiled.reduced_A.cache()
    compiled.reduced_P.cache()
    columns = int(compiled.x.size)
    product, (indices, indptr, shape) = compiled.reduced_A.reduced_mat, compiled.reduced_A.problem_data_index
    rows = np.asarray(indices, np.int32)
    cols = np.repeat(np.arange(shape[1], dtype=np.int32), np.diff(indptr))
    constant = cols == columns  # the last column is b
    q = sp.csr_array(compiled.q)[:columns]
    parts = [q, product[constant], product[~constant]]
    P = Entries(np.zeros(0, np.int32), np.zeros(0, np.int32))
    if compiled.P is not None and compiled.reduced_P.reduced_mat.shape[0]:
        at, ends, _ = compiled.reduced_P.problem_data_index
        parts.append(compiled.reduced_P.reduced_mat)
        P = Entries(np.asarray(at, np.int32), np.repeat(np.arange(columns, dtype=np.int32), np.diff(ends)))
    dims = compiled.cone_dims
    if dims.exp or dims.psd or dims.p3d or dims.pnd or compiled.lb_tensor is not None or compiled.ub_tensor is not None:
        raise ValueError("a program of cones and bounds that are not ours")
    cones = Cones(int(dims.zero), int(dims.nonneg), tuple(dims.soc))
    A = Entries(rows[~constant], cols[~constant])
    lengths = np.cumsum([part.shape[0] for part in parts]).tolist()
    whole = sp.csr_array(sp.vstack([sp.csr_array(part) for part in parts]))
    places = (whole.indices.astype(np.int32), whole.indptr.astype(np.int32))  # half the memory to go through
    return Maps(
        product=sp.csr_array((whole.data, *places), shape=whole.shape),
        ends=(lengths[0], lengths[1], lengths[2]),
        A=A,
        P=P,
        b_rows=rows[constant],
        cones=cones,
        bounds=_bounds(A, sp.csr_array(parts[2]), cones, columns),
        parameters=_columns_of(statement, compiled),
        size=int(compiled.total_param_size) + 1,
        variables={
            name: slice(compiled.var_id_to_col[v.id], compiled.var_id_to_col[v.id] + v.size)
            for name, v in statement.variables.items()
        },
        constraints=_rows_of(statement, compiled),
    )


def _columns_of(statement: Statement, compiled: Any) -> tuple[tuple[str, int, int], ...]:
    """Where each parameter stands in the vector of all; cvxpy's own order of their entries is by columns."""
    begins = compiled.param_id_to_col
    missing = [name for name, p in statement.parameters.items() if p.id not in begins]
    if missing:
        raise KeyError(f"parameters {missing} were compiled away")
    return tuple((name, begins[p.id], begins[p.id] + p.size) for name, p in statement.parameters.items())


def _rows_of(statement: Statement, compiled: Any) -> dict[str, slice]:
    begins, row = {}, 0
    for constraint in compiled.constraints:
        begins[constraint.id] = row
        row += constraint.size
    return {name: slice(begins[c.id], begins[c.id] + c.size) for name, c in statement.constraints.items()}


def _bounds(A: Entries, product: Any, cones: Cones, columns: int) -> Bounds:
    """Inequalities with one entry that no parameter changes. Of several on a column the first; the rest stay rows."""
    last = product.shape[1] - 1
    only_constant = np.diff(product.indptr) == 1
    only_constant[only_constant] = product.indices[product.indptr[:-1][only_constant]] == last
    total = cones.zero + cones.nonneg + sum(cones.second)
    alone = np.bincount(A.rows, minlength=total)[A.rows] == 1
    inequality = (A.rows >= cones.zero) & (A.rows < cones.zero + cones.nonneg)
    found = np.flatnonzero(alone & inequality & only_constant)
    by = np.zeros(len(A.rows))
    by[found] = product.data[product.indptr[:-1][found]]
    sides = []
    for wanted in (by > 0, by < 0):
        entries = np.flatnonzero(wanted)
        col, first = np.unique(A.cols[entries], return_index=True)
        row = np.full(columns, -1, np.int32)
        factor = np.ones(columns)
        row[col], factor[col] = A.rows[entries[first]], by[entries[first]]
        sides.append((row, factor))
    (lower, lower_by), (upper, upper_by) = sides
    return Bounds(lower, upper, lower_by, upper_by)
