"""What a feed gives to a factor model: exposures, and what takes the place of an estimate."""

from typing import Any

import numpy as np

from components.risk_models.history import by_symbol, moved
from engine.errors import DataError
from engine.events import Mask, Matrix, Reference, Vector

_INDEFINITE = 1e-10  # of the largest eigenvalue: what rounding may leave below 0


class Given:
    """The latest of each Reference that `given_factors` reads; None where none has come."""

    def __init__(self, n: int) -> None:
        self._n = n
        self.columns: tuple[str, ...] = ()
        self.exposures: Matrix | None = None
        self.exposed: Mask = np.zeros(n, bool)  # symbols whose exposures are all known
        self.weights: Vector | None = None
        self.factor_covariance: Matrix | None = None
        self.covariance_columns: tuple[str, ...] = ()
        self.specific_variance: Vector | None = None

    def take(self, reference: Reference) -> bool:
        """Whether the reference is one of ours. Raises DataError if it cannot be."""
        name, value = reference.name, reference.value
        if name == "exposures":
            self._check_rows(reference)
            self.columns = reference.columns
            self._expose(value)
        elif name in ("regression_weights", "specific_variance"):
            self._check_rows(reference)
            if value.shape[1] != 1:
                raise _wrong(reference, f"has {value.shape[1]} columns", "one")
            if (value < 0).any():
                s = int(np.flatnonzero((value < 0).any(axis=1))[0])
                raise _wrong(reference, f"is {value[s, 0]:.6g} in row {s}", "at least 0")
            column = np.array(value[:, 0])
            if name == "specific_variance":
                self.specific_variance = column
            else:
                self.weights = column
        elif name == "factor_covariance":
            _check_covariance(reference)
            self.factor_covariance, self.covariance_columns = np.array(value), reference.columns
        else:
            return False
        return True

    def check_together(self, ts: int) -> None:
        """Raises DataError where the factor covariance is of other factors than the exposures."""
        if self.exposures is None or self.factor_covariance is None:
            return
        k, given = self.exposures.shape[1], len(self.factor_covariance)
        if k != given:
            raise DataError(
                f"given_factors: at {ts} exposures have {k} columns and factor_covariance is {given} x {given}; "
                "give both of the same factors"
            )
        own, other = self.columns, self.covariance_columns
        if own and other and own != other:
            raise DataError(
                f"given_factors: at {ts} exposures have the columns {', '.join(own)} and factor_covariance "
                f"{', '.join(other)}; give both of the same factors in the same order"
            )

    def move(self, gone: list[tuple[int, int]], in_force: Matrix | None) -> Matrix | None:
        """Heirs without exposures of their own take over those of the symbols that are gone; so in those in force."""
        if self.exposures is None:
            return in_force
        heirs = [(s, heir) for s, heir in gone if heir >= 0]
        lacking = [(s, heir) for s, heir in heirs if not self.exposed[heir]]
        if lacking:
            self._expose(moved(self.exposures, lacking, np.nan))
            if self.weights is not None:
                self.weights = moved(self.weights, lacking, np.nan)
            if self.specific_variance is not None:
                self.specific_variance = moved(self.specific_variance, lacking, np.nan)
        if in_force is None:
            return None
        result: Matrix = moved(in_force, [(s, h) for s, h in heirs if not np.isfinite(in_force[h]).all()], np.nan)
        return result

    def _expose(self, exposures: Matrix) -> None:
        self.exposures = np.array(exposures)
        self.exposed = np.asarray(np.isfinite(self.exposures).all(axis=1))

    def _check_rows(self, reference: Reference) -> None:
        if reference.value.ndim != 2 or len(reference.value) != self._n:
            raise _wrong(reference, f"has shape {reference.value.shape}", f"a row for each of {self._n} symbols")

    def fields(self) -> dict[str, Any]:
        return {
            "columns": self.columns,
            "exposures": self.exposures,
            "weights": self.weights,
            "factor_covariance": self.factor_covariance,
            "covariance_columns": self.covariance_columns,
            "specific_variance": self.specific_variance,
        }

    def restore(self, fields: dict[str, Any], now: tuple[str, ...]) -> Matrix | None:
        """Restores by symbol, and returns the exposures in force; symbols appended since are unknown."""
        given = fields["given"]

        def placed_or_none(array: Any) -> Any:
            return None if array is None else by_symbol(array, fields, now, np.nan)

        exposures = placed_or_none(given["exposures"])
        if exposures is not None:
            self._expose(exposures)
        self.columns, self.factor_covariance = tuple(given["columns"]), given["factor_covariance"]
        self.covariance_columns = tuple(given["covariance_columns"])
        self.weights = placed_or_none(given["weights"])
        self.specific_variance = placed_or_none(given["specific_variance"])
        result: Matrix | None = placed_or_none(fields["in_force"])
        return result


def _check_covariance(reference: Reference) -> None:
    value = reference.value
    if value.ndim != 2 or value.shape[0] != value.shape[1]:
        raise _wrong(reference, f"has shape {value.shape}", "square")
    if not np.isfinite(value).all():
        raise _wrong(reference, "has a number that is not finite", "known whole")
    if not np.allclose(value, value.T, rtol=1e-9, atol=1e-300):
        raise _wrong(reference, "is not symmetric", "symmetric")
    values = np.linalg.eigvalsh(value)
    if len(values) and values[0] < -_INDEFINITE * max(float(values[-1]), 0.0):
        raise _wrong(reference, f"has the eigenvalue {values[0]:.6g}", "positive semidefinite")


def _wrong(reference: Reference, found: str, rule: str) -> DataError:
    return DataError(
        f"given_factors: {reference.name} at {reference.ts} {found}; it must be {rule}: correct what the feed gives"
    )
