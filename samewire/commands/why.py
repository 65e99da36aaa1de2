"""`samewire why` and `samewire why-not`: how an order came about, and why there was none."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from samewire.commands.common import NO_OUTPUT, Output, say, say_json


def why(order: str, /, *, directory: Annotated[Path, Parameter(name="--dir")], output: Output = NO_OUTPUT) -> int:
    """The chain of an order: bar, features, signal, target, what bound in the optimizer, rounding, gate, order, fills.

    Everything is read from the journal. Features are computed again from the recorded bars where the session's
    run.yaml can be read.

    Parameters
    ----------
    order
        Its id: 16 hexadecimal digits as `samewire tap orders` shows them, or the first few where no other begins so.
    directory
        The session directory.
    """
    from samewire.explain.lines import order_text, plain
    from samewire.explain.orders import explain_order
    from samewire.recorded import open_recorded

    found = explain_order(open_recorded(directory), order)
    if output.json:
        say_json({"ok": True, **plain(found)})
    else:
        say(order_text(found))
    return 0


def why_not(
    symbol: str, time: str, /, *, directory: Annotated[Path, Parameter(name="--dir")], output: Output = NO_OUTPUT
) -> int:
    """Why a symbol was not traded at the first slice at or after a time: the first link of the chain that stopped it.

    Parameters
    ----------
    symbol
        As in the feed.
    time
        A day (2021-03-01), an instant (2021-03-01T21:00:00, UTC), or ns since 1970.
    directory
        The session directory.
    """
    from samewire.explain.lines import missing_text, plain
    from samewire.explain.missing import explain_missing
    from samewire.recorded import open_recorded

    found = explain_missing(open_recorded(directory), symbol, time)
    if output.json:
        say_json({"ok": True, **plain(found)})
    else:
        say(missing_text(found))
    return 0
