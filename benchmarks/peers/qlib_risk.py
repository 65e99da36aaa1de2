"""Writes tests/peers/qlib_risk.npz: covariances by Qlib's risk models, on generated returns with gaps.

Runs in Qlib's environment (see qlib_lightgbm.py); the tests that meet these numbers need no Qlib:

    qlib-env/bin/python benchmarks/peers/qlib_risk.py
"""

from itertools import product
from pathlib import Path

import numpy as np
import qlib
from qlib.model.riskmodel import POETCovEstimator, RiskModel, ShrinkCovEstimator, StructuredCovEstimator


def generated(slices: int, names: int, seed: int) -> np.ndarray:
    """(slices, names) returns with two common factors and very different scales."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(slices, 2)) @ rng.normal(size=(2, names))
    return (0.006 * common + 0.01 * rng.normal(size=(slices, names))) * rng.uniform(0.5, 2.0, names)


def holed(x: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(9)
    x = x.copy()
    x[rng.random(x.shape) < 0.08] = np.nan
    return x


def main() -> None:
    found: dict[str, object] = {"qlib": qlib.__version__}
    for size, (slices, names) in {"tall": (60, 10), "wide": (16, 22)}.items():
        whole = generated(slices, names, len(size) + slices)
        found[f"{size}/whole"] = whole
        found[f"{size}/holed"] = holed(whole)
        for data, nan, centred in product(("whole", "holed"), ("ignore", "fill", "mask"), (False, True)):
            if (data == "holed") != (nan != "ignore"):
                continue
            x, how = found[f"{size}/{data}"], {"nan_option": nan, "assume_centered": centred}
            key = f"{size}/{data}/{nan}/{int(centred)}"

            def said(model: RiskModel, x: np.ndarray = x) -> np.ndarray:
                return np.real(np.asarray(model.predict(x.copy(), is_price=False)))

            found[f"{key}/empirical"] = said(RiskModel(**how))
            for target in ("const_var", "const_corr", "single_factor"):
                found[f"{key}/{target}"] = said(ShrinkCovEstimator(alpha="lw", target=target, **how))
                found[f"{key}/{target}/fixed"] = said(ShrinkCovEstimator(alpha=0.3, target=target, **how))
            found[f"{key}/oas"] = said(ShrinkCovEstimator(alpha="oas", target="const_var", **how))
            if nan == "mask":
                continue
            for factors, rule, thresh in product((0, 2), ("soft", "hard", "scad"), (0.5, 1.0)):
                made = POETCovEstimator(num_factors=factors, thresh=thresh, thresh_method=rule, **how)
                found[f"{key}/poet/{factors}/{rule}/{thresh}"] = said(made)
            if nan == "fill":
                for method, factors in product(("pca", "fa"), (2, 4)):
                    made = StructuredCovEstimator(factor_model=method, num_factors=factors, assume_centered=centred)
                    found[f"{key}/{method}/{factors}"] = said(made)
    target = Path(__file__).parent.parent.parent / "tests" / "peers" / "qlib_risk.npz"
    np.savez_compressed(target, **found)
    print(f"{target}: {len(found)} arrays, {target.stat().st_size / 1024:.0f} KB")


if __name__ == "__main__":
    main()
