"""`samewire halt`, `resume`, `reduce`, `flatten`, `swap-model` and `status`: operating a running session."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json, table

if TYPE_CHECKING:
    from adapters.kafka.messages import ControlMessage
    from samewire.live.operating import Operator, Seen
    from samewire.run_file import RunFile

_WAIT_S = 30.0

Shadow = Annotated[bool, Parameter(help="The session that runs with --shadow.", negative="")]
Latch = Annotated[str, Parameter(help="Of this name, such as max_drawdown; left out: the operator's own.")]


@Parameter(name="*")
@dataclass(frozen=True)
class Asking:
    """Who asks, why, and how long an answer is waited for."""

    reason: Annotated[str, Parameter(help="Why; it stands in the journal.", show_default=False)] = ""
    by: Annotated[str, Parameter(help="Who asks; left out: the name of your login.", show_default=False)] = ""
    shadow: Shadow = False
    wait_s: Annotated[float, Parameter(help="How long the session may take to follow it, seconds.")] = _WAIT_S
    no_wait: Annotated[
        bool,
        Parameter(help="Send it without waiting, also where no session runs: the next start follows.", negative=""),
    ] = False

    def who(self) -> str:
        import getpass

        return self.by or getpass.getuser()


HERE = Asking()


def halt(
    run_file: Path,
    /,
    *,
    latch: Latch = "",
    asking: Asking = HERE,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Stops new orders and cancels those that could add to a position; positions stay.

    Parameters
    ----------
    run_file
        The run file of the session.
    """
    return _asked(("halt", latch), run_file, asking, taken, output)


def resume(
    run_file: Path,
    /,
    *,
    latch: Latch = "",
    asking: Asking = HERE,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Releases one latch: the operator's own, or the one that is named. The session trades again once none is set.

    Parameters
    ----------
    run_file
        The run file of the session.
    """
    return _asked(("resume", latch), run_file, asking, taken, output)


def reduce(
    run_file: Path,
    /,
    *,
    latch: Latch = "",
    asking: Asking = HERE,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Lets only orders pass that reduce a position.

    Parameters
    ----------
    run_file
        The run file of the session.
    """
    return _asked(("reduce", latch), run_file, asking, taken, output)


def flatten(
    run_file: Path,
    /,
    *,
    latch: Latch = "",
    asking: Asking = HERE,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Cancels all orders and closes all positions at the market; stays halted until `resume`.

    Parameters
    ----------
    run_file
        The run file of the session.
    """
    return _asked(("flatten", latch), run_file, asking, taken, output)


def swap_model(
    run_file: Path,
    model: str,
    artefact: str,
    /,
    *,
    asking: Asking = HERE,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """Puts another trained model to use, from the next slice on. It is looked at here first, every byte of it.

    Parameters
    ----------
    run_file
        The run file of the session.
    model
        Name of the model in the run file.
    artefact
        A hash (or its first digits), registry:NAME@STAGE, or a folder, which is registered under the model's name.
    """
    from samewire.live.handing_over import chosen

    run = taken.load(run_file, live=True)
    hash_ = chosen(run, model, artefact, asking.who())
    return _sent(run, _message("swap_model", asking, component=model, artefact=hash_), asking, output)


def status(
    run_file: Path,
    /,
    *,
    shadow: Shadow = False,
    running: Annotated[
        bool, Parameter(help="Exit code 0 only where one runs, not where it ended in order.", negative="")
    ] = False,
    watch: Annotated[float, Parameter(help="Look again every so many seconds, until Control-C; 0 = once.")] = 0.0,
    taken: Taken = AS_IT_STANDS,
    output: Output = NO_OUTPUT,
) -> int:
    """How a session is. Exit code 0 where one runs, a halted one too, or ended in order; 1 where it is not heard of.

    Parameters
    ----------
    run_file
        The run file of the session.
    """
    import time

    run = taken.load(run_file, live=True)
    operator, worked = _operator(run, shadow), run.execution is not None
    while True:
        code = _shown(asyncio.run(operator.look()), output, running=running, worked=worked)
        if watch <= 0:
            return code
        time.sleep(watch)


def _asked(said: tuple[str, str], run_file: Path, asking: Asking, taken: Taken, output: Output) -> int:
    action, latch = said
    return _sent(taken.load(run_file, live=True), _message(action, asking, latch=latch), asking, output)


def _message(
    action: str, asking: Asking, *, component: str = "", artefact: str = "", latch: str = ""
) -> "ControlMessage":
    from adapters.kafka.messages import ControlMessage
    from engine.clock import SystemClock

    return ControlMessage(
        id="",
        ts=SystemClock().now_ns(),
        action=action,
        by=asking.who(),
        reason=asking.reason,
        component=component,
        artefact=artefact,
        latch=latch,
    )


def _sent(run: "RunFile", message: "ControlMessage", asking: Asking, output: Output) -> int:
    from samewire.live.operating import followed_in_words

    done = asyncio.run(_operator(run, asking.shadow).ask(message, 0.0 if asking.no_wait else asking.wait_s))
    if output.json:
        step = done.step
        entered = None if step is None else {"step": step.seq, "mode": _mode(step.mode), "events": step.events}
        say_json({"ok": True, "id": done.id, "action": message.action, "offset": done.offset, "followed": entered})
    elif done.step is None:
        say(f"{message.action}: sent as {done.id}; followed by the session that runs, or by its next start")
    else:
        say(followed_in_words(done.step, message.action))
    return 0


def _operator(run: "RunFile", shadow: bool) -> "Operator":
    from engine.clock import SystemClock
    from samewire.connection import settings_of
    from samewire.live.operating import Addressed, Operator
    from samewire.logs import configure

    clock = SystemClock()
    configure(clock=clock, level="error")  # what the client says while it looks for a broker is told by our own errors
    settings = settings_of(run)
    env = settings.environment(shadow=shadow)
    session = Addressed(session=run.session.name, env=env, health_s=settings.health_s)
    return Operator(settings.client_options(), session, clock)


def _mode(mode: int) -> str:
    from engine.events import Mode

    return Mode(mode).name


def _shown(seen: "Seen", output: Output, *, running: bool, worked: bool) -> int:
    import msgspec

    said, step, silent = seen.status, seen.step, seen.silent
    good = not silent or (seen.in_order and not running)
    if output.json:
        journal = None if step is None else _journal(step)
        status = None if said is None else msgspec.structs.asdict(said)
        told = {"ok": good, "running": not silent, "state": seen.state, "silent": silent, "age_s": seen.age_s}
        told["warning"] = seen.warning
        say_json({**told, "status": status, "journal": journal})
    else:
        say(_text(seen, "child orders" if worked else "orders"))
    return 0 if good else 1


def _journal(step: Any) -> dict[str, Any]:
    said = {"step": step.seq, "events": step.events, "digest": step.digest.hex(), "mode": _mode(step.mode)}
    return {**said, "run_id": step.run_id, "control": step.control, "ended": step.ended, "tally": step.tally}


def _text(seen: "Seen", orders: str) -> str:
    """`orders`: what is counted as such; under an execution policy these are the children it sends."""
    from engine.instants import instant_text

    said, step = seen.status, seen.step
    head = seen.silent if seen.in_order else f"no session runs: {seen.silent}" if seen.silent else ""
    if said is None or step is None:
        return head or "the session has begun and not decided anything yet"
    rows = [
        ("state", seen.state),
        ("mode", _mode(step.mode)),
        ("last slice", instant_text(at) if (at := step.tally.get("at")) else "none yet"),
        ("last word", f"{seen.age_s:,.0f} s ago"),
        ("process", f"up {said.uptime_s:,.0f} s, run {said.run_id}"),
        ("records that wait", f"{said.lag or 0:,}"),
        *((orders if name == "orders" else name, f"{n:,}") for name, n in step.tally.items() if name != "at"),
        *((name, f"{getattr(said, name):,}") for name in ("placed", "late", "duplicates", "conflicts", "revised")),
        ("equity", "-" if said.equity is None else f"{said.equity:,.2f}"),
    ]
    return "\n".join(filter(None, [head, table(rows), seen.warning]))
