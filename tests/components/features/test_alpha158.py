"""Alpha158: a vector of the reference, pandas by operator, numpy against the compiled kernel, and the rules."""

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from components.features.alpha158 import CODE_VERSION, Alpha158, feature_names
from engine.errors import StateError
from engine.events import Bars
from engine.universe import universe_of
from tests.conformance.driving import history
from tests.make import bars, day, market

WINDOWS = (5, 10, 20, 30, 60)


def alpha(n: int = 1, **options: Any) -> Alpha158:
    return Alpha158(universe=universe_of(tuple(f"S{i}" for i in range(n))), **options)


def walked(of: Alpha158, events: Any) -> np.ndarray:
    out = []
    for event in events:
        if isinstance(event, Bars):
            out.append(of.on_bars(event).value)
        else:
            of.on_actions(event)
    return np.array(out)


def column(of: Alpha158, value: np.ndarray, name: str) -> np.ndarray:
    return value[..., of.names.index(name)]


# ---- the vector of the reference -------------------------------------------------------------------------------------

GOLDEN = """
KMID=0 KLEN=0.018315 KMID2=0 KUP=0.00732604 KUP2=0.400002 KLOW=0.010989 KLOW2=0.599998 KSFT=0.00366295
KSFT2=0.199997 OPEN0=1 HIGH0=1.00733 LOW0=0.989011 VWAP0=0.998779 ROC5=1.01099 ROC10=1.02198 ROC20=0.948718
ROC30=0.875458 ROC60=0.846154 MA5=1.0044 MA10=1.00989 MA20=0.992308 MA30=0.974725 MA60=0.920391 STD5=0.0285385
STD10=0.0275227 STD20=0.0341745 STD30=0.0411435 STD60=0.069057 BETA5=0.007326 BETA10=0.000110999
BETA20=0.00310116 BETA30=0.00348046 BETA60=0.00362127 RSQR5=0.164744 RSQR10=0.000149096 RSQR20=0.288212
RSQR30=0.554591 RSQR60=0.838701 RESI5=-0.0190476 RESI10=-0.0103896 RESI20=-0.0217687 RESI30=-0.025192
RESI60=-0.0272183 MAX5=1.05495 MAX10=1.05495 MAX20=1.05495 MAX30=1.05495 MAX60=1.05495 MIN5=0.967033
MIN10=0.967033 MIN20=0.915751 MIN30=0.871795 MIN60=0.747253 QTLU5=1.02857 QTLU10=1.03736 QTLU20=1.02271
QTLU30=1.00806 QTLU60=0.986081 QTLD5=0.982418 QTLD10=0.984615 QTLD20=0.9663 QTLD30=0.936996 QTLD60=0.85641
RANK5=0.6 RANK10=0.5 RANK20=0.6 RANK30=0.733333 RANK60=0.866667 RSV5=0.375 RSV10=0.375 RSV20=0.605263 RSV30=0.7
RSV60=0.821429 IMAX5=0.8 IMAX10=0.9 IMAX20=0.95 IMAX30=0.966667 IMAX60=0.983333 IMIN5=0.2 IMIN10=0.6 IMIN20=0.15
IMIN30=0.133333 IMIN60=0.0666667 IMXD5=0.6 IMXD10=0.3 IMXD20=0.8 IMXD30=0.833333 IMXD60=0.916667 CORR5=0.408122
CORR10=0.174708 CORR20=-0.159552 CORR30=-0.0760875 CORR60=-0.010229 CORD5=0.63852 CORD10=0.135231
CORD20=-0.0530153 CORD30=-0.214609 CORD60=0.104704 CNTP5=0.4 CNTP10=0.4 CNTP20=0.45 CNTP30=0.466667 CNTP60=0.45
CNTN5=0.6 CNTN10=0.6 CNTN20=0.55 CNTN30=0.533333 CNTN60=0.55 CNTD5=-0.2 CNTD10=-0.2 CNTD20=-0.1
CNTD30=-0.0666667 CNTD60=-0.1 SUMP5=0.47619 SUMP10=0.47619 SUMP20=0.527344 SUMP30=0.544041 SUMP60=0.527344
SUMN5=0.52381 SUMN10=0.52381 SUMN20=0.472656 SUMN30=0.455959 SUMN60=0.472656 SUMD5=-0.0476192 SUMD10=-0.0476191
SUMD20=0.0546875 SUMD30=0.0880829 SUMD60=0.0546875 VMA5=1.74 VMA10=1.86 VMA20=2.1 VMA30=2.03333 VMA60=2.06333
VSTD5=0.760263 VSTD10=0.676921 VSTD20=0.703375 VSTD30=0.6733 VSTD60=0.669421 WVMA5=0.576743 WVMA10=0.436576
WVMA20=0.386082 WVMA30=0.368374 WVMA60=0.399853 VSUMP5=0.414634 VSUMP10=0.414634 VSUMP20=0.485714
VSUMP30=0.463035 VSUMP60=0.485714 VSUMN5=0.585366 VSUMN10=0.585366 VSUMN20=0.514286 VSUMN30=0.536965
VSUMN60=0.514286 VSUMD5=-0.170732 VSUMD10=-0.170732 VSUMD20=-0.0285714 VSUMD30=-0.07393 VSUMD60=-0.0285714
"""


def reference_bars() -> list[Bars]:
    """One name of 80 days, stored as float32, as the vector was made of."""
    t = np.arange(80)
    close = 10 + ((7 * t) % 13) / 10 + 0.05 * t
    opening = close - (((3 * t) % 5) - 2) * 0.1
    high = np.maximum(opening, close) + ((5 * t) % 7) * 0.05
    low = np.minimum(opening, close) - ((11 * t) % 6) * 0.05
    volume, vwap = 1000 + ((17 * t) % 23) * 100.0, (high + low + close) / 3
    kept = [x.astype(np.float32).astype(float)[:, None] for x in (opening, high, low, close, volume, vwap)]
    names = ("open", "high", "low", "volume", "vwap")
    columns = dict(zip(names, (kept[0], kept[1], kept[2], kept[4], kept[5]), strict=True))
    return [bars(day(k), kept[3][k], **{name: x[k] for name, x in columns.items()}) for k in t]


@pytest.mark.parametrize("kernel", ["numba", "numpy"])
def test_the_vector_of_the_reference_to_its_six_digits(kernel: Any) -> None:
    of = alpha(kernel=kernel)
    value = dict(zip(of.names, walked(of, reference_bars()[:70])[-1, 0], strict=True))
    wanted = {name: float(text) for name, text in (pair.split("=") for pair in GOLDEN.split())}
    assert list(wanted) == list(of.names)
    for name, figure in wanted.items():
        assert value[name] == pytest.approx(figure, rel=6e-6, abs=6e-7), name


def test_numbers_are_those_of_the_version_of_the_code() -> None:
    """Whoever changes a number changes CODE_VERSION and these: artefacts trained on the old ones are refused then."""
    of = alpha(3, windows=(3, 8), vwap="typical")
    value = walked(of, history(5, 3, 40))
    weights = np.cos(np.arange(value.size)).reshape(value.shape)
    assert (CODE_VERSION, np.isnan(value).sum(), np.nansum(value * weights).round(6)) == (1, UNKNOWN, VERSION_SUM)


VERSION_SUM, UNKNOWN = 26.397027, 2383


# ---- pandas, operator by operator ------------------------------------------------------------------------------------


def per_name(frame: dict[str, pd.Series], d: int) -> dict[str, pd.Series]:
    """The 29 operators of one name by pandas, each as the reference defines it. NaN are the name's halts."""
    c, h, low, v = frame["close"], frame["high"], frame["low"], frame["volume"]

    def rolling(x: pd.Series) -> Any:
        return x.replace([np.inf, -np.inf], np.nan).rolling(d, min_periods=1)

    def still(x: pd.Series) -> pd.Series:
        return pd.Series(np.isclose(rolling(x).std(), 0, atol=2e-5), x.index)

    def corr(x: pd.Series, y: pd.Series) -> pd.Series:
        x, y = (s.replace([np.inf, -np.inf], np.nan) for s in (x, y))
        found = x.rolling(d, min_periods=1).corr(y)
        return found.mask(still(x) | still(y))

    def line(x: pd.Series, what: str) -> pd.Series:
        out = []
        for t in range(len(x)):
            y = x.to_numpy()[max(0, t + 1 - d) : t + 1]
            at = np.arange(d - len(y), d)[~np.isnan(y)]
            y = y[~np.isnan(y)]
            if len(y) < 2:
                out.append(math.nan)
                continue
            slope, start = np.polyfit(at, y, 1)
            fit = {"slope": slope, "residual": x.iloc[t] - (slope * (d - 1) + start)}
            fit["square"] = np.corrcoef(at, y)[0, 1] ** 2 if y.std() > 0 else math.nan
            out.append(fit[what])
        return pd.Series(out, x.index)

    def balance(x: pd.Series) -> dict[str, pd.Series]:
        move = x - x.shift()
        up, down = rolling(move.clip(lower=0)).sum(), rolling((-move).clip(lower=0)).sum()
        moved = rolling(move.abs()).sum() + 1e-12
        return {"P": up / moved, "N": down / moved, "D": (up - down) / moved}

    rises, falls = rolling((c > c.shift()).astype(float)).mean(), rolling((c < c.shift()).astype(float)).mean()
    top, bottom = rolling(h).max(), rolling(low).min()
    high_at = rolling(h).apply(lambda x: np.argmax(x) + 1, raw=True)
    low_at = rolling(low).apply(lambda x: np.argmin(x) + 1, raw=True)
    work = (c / c.shift() - 1).abs() * v
    return {
        "ROC": c.shift(d) / c,
        "MA": rolling(c).mean() / c,
        "STD": rolling(c).std() / c,
        "BETA": line(c, "slope") / c,
        "RSQR": line(c, "square").mask(still(c)),
        "RESI": line(c, "residual") / c,
        "MAX": top / c,
        "MIN": bottom / c,
        "QTLU": rolling(c).quantile(0.8) / c,
        "QTLD": rolling(c).quantile(0.2) / c,
        "RANK": rolling(c).rank(pct=True),
        "RSV": (c - bottom) / (top - bottom + 1e-12),
        "IMAX": high_at / d,
        "IMIN": low_at / d,
        "IMXD": (high_at - low_at) / d,
        "CORR": corr(c, np.log(v + 1)),
        "CORD": corr(c / c.shift(), np.log(v / v.shift() + 1)),
        "CNTP": rises,
        "CNTN": falls,
        "CNTD": rises - falls,
        "VMA": rolling(v).mean() / (v + 1e-12),
        "VSTD": rolling(v).std() / (v + 1e-12),
        "WVMA": rolling(work).std() / (rolling(work).mean() + 1e-12),
        **{f"SUM{k}": x for k, x in balance(c).items()},
        **{f"VSUM{k}": x for k, x in balance(v).items()},
    }


def coarse(n: int, slices: int, *, holes: float, seed: int = 0) -> list[Bars]:
    """Prices on a grid, so that ties are common, with days of no volume and of none that is known."""
    rng = np.random.default_rng(seed)
    out = []
    for bar in market(n, slices, seed=seed, holes=holes):
        scale = 50 / np.array([50.0, 100.0, 150.0, 75.0, 60.0, 45.0, 30.0])[:n]
        prices = {name: np.round(getattr(bar, name) * scale) for name in ("open", "high", "low", "close")}
        volume = np.where(rng.random(n) < 0.1, 0.0, bar.volume)
        volume = np.where(rng.random(n) < 0.05, np.nan, volume)
        volume[np.isnan(prices["close"])] = np.nan
        out.append(bars(bar.ts, prices.pop("close"), volume=volume, **prices))
    return out


@pytest.fixture(scope="module")
def beside_pandas() -> list[tuple[str, np.ndarray, np.ndarray]]:
    """By feature: what we say and what pandas says, over all names and slices whose newest bar is known.

    Halts that begin before the lookback are left out: no bounded window can tell them from a later listing.
    """
    slices = coarse(6, 130, holes=0.15)
    of = alpha(6, windows=(5, 20))
    value = walked(of, slices)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for i in range(6):
        frame = {k: pd.Series([getattr(s, k)[i] for s in slices]) for k in ("close", "high", "low", "volume")}
        listed = int(np.argmax(frame["close"].notna()))
        frame = {k: x.iloc[listed:].reset_index(drop=True) for k, x in frame.items()}
        known = frame["close"].notna().to_numpy()
        t = np.arange(len(known))
        seen = np.array([np.argmax(known[max(0, k + 1 - of.lookback) : k + 1]) for k in t])
        whole = known & (np.minimum(t + 1, of.lookback) - seen >= np.minimum(t + 1, 20))
        for d in (5, 20):
            for name, x in per_name(frame, d).items():
                ours = column(of, value[listed:, i], f"{name}{d}")
                found.setdefault(f"{name}{d}", []).append((ours[whole], x.to_numpy()[whole]))
    return [(name, *(np.concatenate(x) for x in zip(*parts, strict=True))) for name, parts in found.items()]


def test_every_operator_equals_pandas_with_its_gaps(beside_pandas: list[tuple[str, np.ndarray, np.ndarray]]) -> None:
    assert {name for name, _, _ in beside_pandas} == set(feature_names((5, 20))[13:])
    for name, ours, theirs in beside_pandas:
        theirs = np.where(np.isinf(theirs), np.nan, theirs)
        np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs), err_msg=name)
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-8, err_msg=name)
        assert np.isfinite(ours).sum() > 400


# ---- numpy and the compiled kernel -----------------------------------------------------------------------------------


def flat(n: int, slices: int) -> list[Bars]:
    return [bars(day(k), np.full(n, 10.0), volume=np.full(n, 5.0 * (k > 20))) for k in range(slices)]


CASES: dict[str, Callable[[], list[Any]]] = {
    "actions, gaps and a late listing": lambda: history(3, 6, 90),
    "many gaps": lambda: market(6, 90, seed=4, holes=0.5),
    "ties and unknown volumes": lambda: coarse(6, 90, holes=0.2, seed=5),
    "nothing moves": lambda: flat(6, 70),
    "large prices": lambda: [bars(b.ts, 1e7 + b.close / 100, volume=b.volume * 1e6) for b in market(6, 80, seed=6)],
}


@pytest.mark.parametrize("case", CASES)
def test_the_compiled_kernel_equals_numpy(case: str) -> None:
    events = CASES[case]()
    compiled, plain = (alpha(6, vwap="typical", kernel=kernel) for kernel in ("numba", "numpy"))
    ours, theirs = walked(compiled, events), walked(plain, events)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_names_beyond_one_block_have_the_numbers_of_names_alone() -> None:
    slices = market(150, 70, seed=8, holes=0.05)
    whole = walked(alpha(150), slices)
    for i in (0, 63, 64, 127, 128, 149):
        alone = [
            bars(s.ts, s.close[[i]], **{k: getattr(s, k)[[i]] for k in ("open", "high", "low", "volume")})
            for s in slices
        ]
        np.testing.assert_array_equal(walked(alpha(), alone)[:, 0], whole[:, i])


# ---- rules -----------------------------------------------------------------------------------------------------------


def test_the_first_bar_has_what_one_bar_can_say() -> None:
    of = alpha(windows=(5,))
    value = dict(zip(of.names, walked(of, [bars(day(0), [10.0], high=[12.0], low=[9.0])])[0, 0], strict=True))
    known = {name: x for name, x in value.items() if x == x and name[0] != "K"}
    assert known == pytest.approx(
        {
            "OPEN0": 1.0,
            "HIGH0": 1.2,
            "LOW0": 0.9,
            "MA5": 1.0,
            "MAX5": 1.2,
            "MIN5": 0.9,
            "QTLU5": 1.0,
            "QTLD5": 1.0,
            "RANK5": 1.0,
            "RSV5": 1 / 3,
            "IMAX5": 0.2,
            "IMIN5": 0.2,
            "IMXD5": 0.0,
            "CNTP5": 0.0,
            "CNTN5": 0.0,
            "CNTD5": 0.0,
            "VMA5": 1.0,
        }
    )


def test_a_gap_within_the_window_counts_as_its_extreme_and_one_before_all_bars_does_not() -> None:
    of = alpha(windows=(4,))
    prices = [math.nan, math.nan, 10.0, math.nan, 12.0, 11.0]
    value = walked(of, [bars(day(k), [p]) for k, p in enumerate(prices)])[:, 0]
    # Of the newest four bars the second is the gap; with lookback 5 the bar before all others does not exist.
    assert column(of, value[5], "IMAX4") == column(of, value[5], "IMIN4") == 0.5
    assert column(of, value[2], "IMAX4") == 0.25


def test_a_split_told_at_its_time_leaves_every_feature_as_it_was() -> None:
    from tests.components.features.test_rolling import action, scaled

    slices = market(2, 80, holes=0.0, late=0)
    split = scaled(slices, 50, 1, price=0.5, shares=2.0)
    plain = walked(alpha(2), slices)
    told = walked(alpha(2), [*split[:50], action(0, 1, 49, ratio=2.0), *split[50:]])
    untold = walked(alpha(2), split)
    names = list(alpha(2).names)
    exempt = [k for k, name in enumerate(names) if name.startswith("CORR")]  # of log(shares + 1)
    np.testing.assert_allclose(np.delete(told, exempt, 2), np.delete(plain, exempt, 2), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(told[..., exempt], plain[..., exempt], atol=1e-4)
    assert untold[51, 1, names.index("ROC5")] > 1.7


def test_a_vwap_that_the_feed_lacks_is_nan_or_the_typical_price() -> None:
    bar = bars(day(0), [10.0, 10.0], high=[12.0, 12.0], low=[8.0, 9.0], vwap=[11.0, math.nan])
    for vwap, wanted in (("feed", [1.1, math.nan]), ("typical", [1.1, 31 / 30])):
        of = alpha(2, vwap=vwap)
        np.testing.assert_allclose(column(of, of.on_bars(bar).value, "VWAP0"), wanted)


def test_a_pick_has_the_columns_of_the_whole_in_its_own_order() -> None:
    slices = market(3, 70)
    whole, some = alpha(3), alpha(3, pick=("RANK60", "KMID", "CORD10"))
    picked = walked(some, slices)
    assert some.names == ("RANK60", "KMID", "CORD10")
    for k, name in enumerate(some.names):
        np.testing.assert_array_equal(picked[..., k], column(whole, walked(alpha(3), slices), name))


def test_the_twenty_features_of_the_page_can_be_picked() -> None:
    page = (Path(__file__).parent.parent.parent.parent / "docs" / "features.md").read_text()
    names = tuple(re.findall(r"pick: \[(.*?)\]", page, re.DOTALL)[0].replace("\n", " ").split(", "))
    assert len(names) == 20
    assert alpha(pick=names).names == names


def test_the_schema_is_another_one_whenever_a_number_may_be() -> None:
    made = [
        alpha(),
        alpha(windows=(5, 10)),
        alpha(pick=("KMID", "KLEN")),
        alpha(pick=("KLEN", "KMID")),
        alpha(vwap="typical"),
        alpha(kernel="numpy"),
    ]
    assert len({of.schema for of in made}) == len(made)
    assert alpha(3).schema == alpha().schema  # not of the universe


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"windows": ()}, "ascend"),
        ({"windows": (1, 5)}, "ascend"),
        ({"windows": (10, 5)}, "ascend"),
        ({"windows": (5, 5)}, "ascend"),
        ({"windows": (5, 521)}, "to 520"),
        ({"pick": ("KMID", "ROC7")}, "ROC7"),
        ({"pick": ("KMID", "KMID")}, "twice"),
        ({"vwap": "none"}, "feed"),
        ({"kernel": "cuda"}, "numba or numpy"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        alpha(**options)


def test_to_check_a_run_file_compiles_nothing() -> None:
    code = (
        "import sys\nfrom samewire import load_run\n"
        "run = {'schema': 1, 'session': {'name': 'x', 'cash': 1}, 'feed': 'sample', 'features': ['alpha158'],\n"
        "  'models': ['momentum', {'use': 'lightgbm', 'features': 'alpha158'}], 'optimizer': 'direct',\n"
        "  'strategy': {'use': 'sign', 'signal': 'momentum'},\n"
        "  'broker': {'use': 'simulated', 'fill': 'next_open', 'costs': 'bps'}}\n"
        "assert load_run(run).features[0].use == 'alpha158'\n"
        "assert not {'numba', 'lightgbm'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_state_of_other_options_is_refused() -> None:
    with pytest.raises(StateError, match="same options"):
        alpha(windows=(4,)).load(alpha(windows=(3,)).save())
