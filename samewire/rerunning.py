"""What stands in the way of running a recorded session again."""

from samewire.findings import Finding, before_it_runs, of_files
from samewire.recorded import Recorded


def first_change(recorded: Recorded) -> Finding | None:
    """The first thing that the manifest has a hash of and that is otherwise now; None where all is as it was."""
    found = next(before_it_runs(recorded), None)
    return found if found is not None else next(of_files(recorded), None)
