"""`samewire demo`: a market with a known answer, and whether the engine found it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samewire.commands.common import NO_OUTPUT, Output, say, say_json, table

if TYPE_CHECKING:
    from samewire.result import Result
    from samewire.run_file import RunFile

RUN_FILE = Path(__file__).parent.parent / "demo.yaml"
T_FOUND = 3.0  # standard errors above zero at which a signal counts as found


@dataclass(frozen=True)
class Verdict:
    """What was planted and what was measured: mean rank IC over the slices after training, with its standard error."""

    planted: float
    measured: float
    error: float
    slices: int

    @property
    def found(self) -> bool:
        """Measured more than three standard errors above zero."""
        return self.measured > T_FOUND * self.error

    def text(self) -> str:
        said = "found it" if self.found else "did not find it"
        return (
            f"planted: IC {self.planted:.3f}; measured on {self.slices:,} slices never trained on: "
            f"rank IC {self.measured:.3f} +- {self.error:.3f}: {said}"
        )


def verdict(planted: float, summary: dict[str, Any]) -> Verdict:
    """The verdict from the figures of a session; what is undefined counts as not found.

    >>> verdict(0.06, {"rank_ic": 0.05, "rank_ic_t": 5.0, "models": {"gbdt": {"slices": 500}}}).found
    True
    >>> verdict(0.06, {"rank_ic": None, "rank_ic_t": None, "models": {}}).found
    False
    """
    measured, t = summary.get("rank_ic"), summary.get("rank_ic_t")
    slices = next((model["slices"] for model in summary.get("models", {}).values()), 0)
    if measured is None or not t:
        return Verdict(planted, 0.0 if measured is None else measured, math.inf, slices)
    return Verdict(planted, measured, abs(measured / t), slices)


def demo(
    *, permuted: bool = False, out: Path | None = None, overwrite: bool = False, output: Output = NO_OUTPUT
) -> int:
    """Replays a generated market with a planted signal; says what it should find and whether it did.

    Exit code 0 when the answer is the expected one, else 1. With --permuted the signal is destroyed, and the expected
    answer is that it did not find one.

    Parameters
    ----------
    permuted
        Destroy the planted signal by permuting it across symbols.
    out
        Session directory; runs/demo, replaced each time, when left out.
    overwrite
        Replace the session directory that is there.
    """
    from samewire.commands.replay import as_json, run_with_progress
    from samewire.schema import load_run

    own = out is None
    directory = Path("runs/demo-permuted" if permuted else "runs/demo") if out is None else out
    run = load_run(RUN_FILE, ["feed.permuted=true", "session.name=demo-permuted"] if permuted else [])
    if not output.json:
        say("A generated market with a planted signal" + (", destroyed by permuting it." if permuted else "."))
    result = run_with_progress(run, directory, overwrite or own, output)
    answer = verdict(_planted(run), result.summary)
    expected = answer.found is not permuted
    if output.json:
        planted = {"planted_ic": answer.planted, "rank_ic": answer.measured, "rank_ic_se": _finite(answer.error)}
        say_json(as_json(result) | planted | {"ok": expected, "found": answer.found, "permuted": permuted})
        return 0 if expected else 1
    _say_result(result, answer, directory, permuted)
    return 0 if expected else 1


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _planted(run: "RunFile") -> float:
    """What the feed says it planted."""
    from samewire.build import Given, construct

    feed = construct(run.feed, Given(session=run.session.name, seed=run.session.seed))
    return float(feed.planted().ic)


def _say_result(result: "Result", answer: Verdict, directory: Path, permuted: bool) -> None:
    summary = result.summary
    say(table(result_rows(summary)))
    for warning in result.warnings:
        say(f"  ! {warning}")
    say("")
    say(answer.text())
    if permuted and not answer.found:
        say("as it should be: with the signal destroyed there is nothing to find")
    elif permuted:
        say("but there is nothing to find: something looks ahead, please report it")
    elif not answer.found:
        say("it should have: something is wrong with this installation, please report it")
    say("")
    say(f"report    {directory / 'report.html'}")
    say(f"next      samewire tap fills --dir {directory} --limit 20")
    say("          samewire demo" + ("" if permuted else " --permuted"))
    say("          samewire config schema --out run.schema.json")


_ROWS = (
    ("Slices", "slices", "{:,}"),
    ("Final equity", "final_equity", "{:,.0f}"),
    ("Total return, net", "total_return", "{:+.2%}"),
    ("Benchmark", "benchmark_return", "{:+.2%}"),
    ("Volatility a year", "volatility", "{:.2%}"),
    ("Sharpe ratio", "sharpe", "{:.2f}"),
    ("Max drawdown", "max_drawdown", "{:.2%}"),
    ("Turnover a year", "turnover", "{:.1f}"),
    ("Cost", "cost", "{:,.0f}"),
    ("Orders / fills", "", ""),
)


def result_rows(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Ten lines of the summary; what is undefined is a dash.

    >>> result_rows({"sharpe": None})[5]
    ('Sharpe ratio', '-')
    """
    rows = []
    for label, key, form in _ROWS:
        value = summary.get(key)
        text = "-" if value is None else form.format(value)
        rows.append((label, text if key else f"{summary.get('orders', 0):,} / {summary.get('fills', 0):,}"))
    return rows
