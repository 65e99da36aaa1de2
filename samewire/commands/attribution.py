"""`samewire attribution`: what made the difference to the benchmark in a recorded session."""

from pathlib import Path
from typing import TYPE_CHECKING

from samewire.commands.common import NO_OUTPUT, Allow, Output, allowed, say, say_json

if TYPE_CHECKING:
    from samewire.attributing import Attribution


def attribution(directory: Path, /, *, benchmark: str = "", allow: Allow = (), output: Output = NO_OUTPUT) -> int:
    """What made the difference to the benchmark, sector by sector and factor by factor, and what trading cost.

    Weights at each close are held against what each name returned until the next; what the account earned otherwise is
    trading: costs, interest, and what trades earned within their slice. The effects of all slices are linked so that
    they add up to the difference over the whole session.

    Parameters
    ----------
    directory
        The session directory.
    benchmark
        equal_weight (of the members), reference (the feed's `benchmark`), none, or a symbol. When left out, the feed's
        where it has one, else the session's.
    """
    import msgspec

    from samewire.attributing import attributed, benchmark_of
    from samewire.recorded import open_recorded

    recorded = open_recorded(directory, allowed(allow))
    name = benchmark_of(recorded, benchmark)
    events = (entry.event for entry in recorded.entries() if entry.event is not None)
    found = attributed(events, recorded.universe, recorded.interval_ns, name)
    if output.json:
        say_json({"ok": True, **msgspec.to_builtins(found)})
    else:
        say(_text(found))
    return 0


def _text(found: "Attribution") -> str:
    lines = [
        f"{found.slices:,} slices: account {found.total:+.2%}, {found.against} {found.benchmark:+.2%}, "
        f"difference {found.active:+.2%}",
        "",
        f"  {'sector':<24}{'weight':>9}{'benchmark':>11}{'allocation':>12}{'selection':>11}{'interaction':>13}",
    ]
    for line in found.sectors:
        cells = f"{line.weight:>9.1%}{line.benchmark_weight:>11.1%}{line.allocation:>+12.2%}"
        lines.append(f"  {line.sector:<24}{cells}{line.selection:>+11.2%}{line.interaction:>+13.2%}")
    sums = [sum(getattr(line, name) for line in found.sectors) for name in ("allocation", "selection", "interaction")]
    lines.append(f"  {'all sectors':<24}{'':>20}{sums[0]:>+12.2%}{sums[1]:>+11.2%}{sums[2]:>+13.2%}")
    lines.append(f"  {'trading and costs':<24}{'':>20}{found.trading:>+12.2%}")
    if found.factors:
        lines += ["", f"  {'factor':<24}{'effect':>9}"]
        lines += [f"  {name:<24}{value:>+9.2%}" for name, value in found.factors.items()]
        lines.append(f"  {'specific':<24}{found.specific:>+9.2%}")
    if found.transfer_targets is not None and found.transfer_held is not None:
        solved = "" if found.transfer_weights is None else f"solved weights {found.transfer_weights:.2f}, "
        said = f"targets {found.transfer_targets:.2f}, {solved}held at the next close {found.transfer_held:.2f}"
        lines += ["", f"  transfer coefficient: {said} (1 = every opinion stands in the book in proportion)"]
    return "\n".join(lines)
