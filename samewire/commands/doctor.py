"""`samewire doctor`: what is wrong here, and what mends it."""

from pathlib import Path

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json


def doctor(run_file: Path | None = None, /, *, taken: Taken = AS_IT_STANDS, output: Output = NO_OUTPUT) -> int:
    """Looks at the installation, the data, the calendar and the broker, and says what is wrong and what mends it.

    Parameters
    ----------
    run_file
        A run file whose feed is opened too.
    """
    from engine.clock import SystemClock
    from samewire.doctor import exit_code, findings

    run = None if run_file is None else taken.load(run_file)
    found = []
    for each in findings(run, clock=SystemClock()):
        found.append(each)
        if not output.json:
            say(f"{each.state:<10}  {each.what:<8}  {each.said}")
            if each.mend:
                say(f"{'':<22}{each.mend}")
    code = exit_code(found)
    if output.json:
        say_json({"ok": code == 0, "exit_code": code, "findings": [each.as_json() for each in found]})
    return code
