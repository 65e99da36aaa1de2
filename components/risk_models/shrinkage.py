"""How far to shrink a sample covariance: targets and intensities of demeaned (T, n) returns X, S = X'X / T.

All in O(T n min(T, n)), without an n x n matrix beyond S itself where n < T.
"""

import numpy as np

from engine.events import Matrix, Vector

_ALIKE = 1e-14  # of |S|^2: a target that near is S up to rounding, and nothing is shrunk


def ledoit_wolf_shrinkage(x: Matrix) -> tuple[float, float]:
    """The intensity, between 0 and 1, toward m I, and m, the mean variance. Identical to scikit-learn's.

        a = min(b, d) / d,   d = |S - m I|^2 / n,   b = (sum_t |x_t|^4 / T^2 - |S|^2 / T) / n

    Source: Ledoit, Wolf (2004), A well-conditioned estimator for large-dimensional covariance matrices, J. Multivariate
    Analysis 88(2), lemma 3.2 to 3.4 and section 3.3.
    """
    length, n = x.shape
    norm = _norm(x)
    squares = np.einsum("ij,ij->i", x, x)
    mean = float(squares.sum()) / length / n
    spread = float((squares**2).sum()) / length
    d = (norm - n * mean**2) / n
    b = (spread - norm) / (n * length)
    if d * n <= _ALIKE * norm or b <= 0:  # S is its own target, up to rounding
        return 0.0, mean
    return min(b, d) / d, mean


def oas_shrinkage(x: Matrix) -> tuple[float, float]:
    """The intensity, between 0 and 1, toward m I, and m, the mean variance, if returns were normal.

        a = min(1, (tr S^2 + tr^2 S) / ((T + 1) (tr S^2 - tr^2 S / n)))

    Identical to scikit-learn's: the terms 2 / n of the paper are left out. Source: Chen, Wiesel, Eldar, Hero (2010),
    Shrinkage algorithms for MMSE covariance estimation, IEEE Trans. Signal Processing 58(10), eq. 23.
    """
    length, n = x.shape
    norm = _norm(x)
    trace = float((x**2).sum()) / length
    spread = norm - trace**2 / n
    if n == 1 or norm == 0:
        return 0.0, trace / n
    if spread <= _ALIKE * norm:
        return 1.0, trace / n
    return min(1.0, (norm + trace**2) / ((length + 1) * spread)), trace / n


def constant_correlation_shrinkage(x: Matrix) -> tuple[float, float]:
    """The intensity toward F with F_ij = r s_i s_j and F_ii = s_i^2, and r, the mean correlation, at least 0.

        a = (phi - rho) / (T |S - F|^2) between 0 and 1,   phi = sum_ij p_ij,   p = Y'Y / T - S * S,   Y = X * X
        rho = sum_i p_ii + r sum_(i != j) (s_j / s_i) theta_ij,   theta = (X^3)'X / T - diag(S) S

    A negative mean counts as 0, since a factor form has no negative variance. A constant symbol takes no part in r.
    Source: Ledoit, Wolf (2004), Honey, I shrunk the sample covariance matrix, J. Portfolio Management 30(4), appendix.
    """
    length = len(x)
    s = np.sqrt(np.einsum("ij,ij->j", x, x) / length)
    moving = s > 0
    x, s = x[:, moving], s[moving]
    n = len(s)
    if n < 2:
        return 0.0, 0.0
    z = x / s
    r = max((float((z.sum(axis=1) ** 2).sum()) / length - n) / (n * (n - 1)), 0.0)
    norm = _norm(x)
    diagonal = float((s**4).sum())
    along = x @ s  # s'S s = |X s|^2 / T
    gap = norm - diagonal - 2 * r * (float(along @ along) / length - diagonal)
    gap += r**2 * (float((s**2).sum()) ** 2 - diagonal)
    y = x**2
    phi = _phi(y, norm)
    theta = float((y * z).sum(axis=1) @ along) / length - float(along @ along) / length
    own = float((y**2).sum()) / length - diagonal
    return _between((phi - own - r * (theta - own)) / length, gap, norm), r


def single_factor_shrinkage(x: Matrix) -> tuple[float, Vector]:
    """The intensity toward F with F_ij = b_i b_j and F_ii = S_ii, and b (n,), loadings on the mean return m_t.

        b_i = cov(i, m) / sd(m),   a = (phi - rho) / (T |S - F|^2) between 0 and 1,   rho as in the paper

    Source: Ledoit, Wolf (2003), Improved estimation of the covariance matrix of stock returns with an application to
    portfolio selection, J. Empirical Finance 10(5), section 3 and appendix.
    """
    length, n = x.shape
    market = x.mean(axis=1)
    variance = float(market @ market) / length
    with_it = x.T @ market / length  # (n,) cov(i, m)
    norm = _norm(x)
    if not variance > _ALIKE * float((x**2).mean()):
        return 0.0, np.zeros(n)
    b = with_it / np.sqrt(variance)
    y, diagonal = x**2, np.einsum("ij,ij->j", x, x) / length
    along = x @ b
    gap = norm - float((diagonal**2).sum()) - 2 * (float(along @ along) / length - float(b**2 @ diagonal))
    gap += float(b @ b) ** 2 - float((b**4).sum())
    own = float((y**2).sum()) / length - float((diagonal**2).sum())
    turned = x @ with_it
    # v1_ij = sum_t y_ti x_tj m_t / T - cov_i S_ij, weighed with cov_j
    first = float(y.sum(axis=1) @ (turned * market)) / length - float(turned @ turned) / length
    first -= float((y * x).T @ market / length @ with_it) - float(with_it**2 @ diagonal)
    # v3_ij = sum_t x_ti x_tj m_t^2 / T - var(m) S_ij, weighed with cov_i cov_j
    third = float((turned * market) @ (turned * market)) / length - variance * float(turned @ turned) / length
    third -= float((y.T @ market**2 / length - variance * diagonal) @ with_it**2)
    rho = own + 2 * first / variance - third / variance**2
    return _between((_phi(y, norm) - rho) / length, gap, norm), b


def _norm(x: Matrix) -> float:
    """|S|^2."""
    length, n = x.shape
    gram = x @ x.T if length < n else x.T @ x
    return float((gram**2).sum()) / float(length) ** 2


def _phi(y: Matrix, norm: float) -> float:
    return float((y.sum(axis=1) ** 2).sum()) / len(y) - norm


def _between(wanted: float, gap: float, norm: float) -> float:
    """wanted / gap, between 0 and 1; 0 where S is its own target."""
    return 0.0 if gap <= _ALIKE * norm else min(max(wanted / gap, 0.0), 1.0)
