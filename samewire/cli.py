"""The command line: commands are imported when they are called, errors become exit codes."""

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

EXIT_FAILED, EXIT_ARGUMENTS, EXIT_INTERRUPT, EXIT_TERMINATED = 1, 2, 130, 143

COMMANDS = (
    ("demo", "samewire.commands.demo:demo", "A backtest of a generated market: finds the planted signal, or says not."),
    ("check", "samewire.commands.check:check", "All problems of a run file at once."),
    ("replay", "samewire.commands.replay:replay", "A backtest of a run file."),
    ("train", "samewire.commands.train:train", "Plans, runs and records the trainings of a run file; resumes."),
    ("lookahead", "samewire.commands.lookahead:lookahead", "Names what in a run file knows what is still to come."),
    ("warmup", "samewire.commands.warmup:warmup", "Names what in a run file needs more history than it declares."),
    ("verify", "samewire.commands.verify:verify", "Whether a recorded session would be decided the same again."),
    ("rerun", "samewire.commands.rerun:rerun", "A recorded session again, once all its hashes are as they were."),
    ("report", "samewire.commands.report:report", "The HTML report of a session directory, or of two side by side."),
    (
        "decisions",
        "samewire.commands.decisions:decisions",
        "What limits cost, who answered, fallbacks, exits: how a session decided.",
    ),
    (
        "attribution",
        "samewire.commands.attribution:attribution",
        "What made the difference to the benchmark: sectors, factors, trading.",
    ),
    ("tap", "samewire.commands.tap:tap", "Prints what was said on a topic of Kafka or of a session directory."),
    (
        "doctor",
        "samewire.commands.doctor:doctor",
        "What is wrong with this installation, and the command that mends it.",
    ),
    (
        "live",
        "samewire.commands.live:live",
        "The daemon: a run file on bars from Kafka, taken up where it stood.",
    ),
    ("fetch", "samewire.commands.fetch:fetch", "A live session, read back from Kafka into a session directory."),
    ("feed", "samewire.commands.feed:feed", "Publishes the bars of a run file to Kafka, as a live feed would."),
    (
        "topics",
        "samewire.commands.topics:topics",
        "The topics of a live session: what they must be, and are; makes them.",
    ),
    ("asyncapi", "samewire.commands.asyncapi:asyncapi", "The AsyncAPI document of the topics that others read."),
    ("why", "samewire.commands.why:why", "How an order came about, from the bar to its fills."),
    ("why-not", "samewire.commands.why:why_not", "Why a symbol was not traded at an instant."),
)

OPERATING = (
    ("status", "status", "How a live session is: mode, last slice, lag, counts."),
    ("halt", "halt", "Stops new orders; positions stay."),
    ("reduce", "reduce", "Lets only orders pass that reduce a position."),
    ("flatten", "flatten", "Closes all positions and halts."),
    ("resume", "resume", "Releases what halted a session."),
    ("swap-model", "swap_model", "Puts another trained model to use."),
)

MODELS = (
    ("list", "list_", "What every name has at every stage."),
    ("history", "history", "Everything that was registered and promoted under a name."),
    ("show", "show", "What an artefact is: where it serves, its files, its card."),
    ("register", "register", "Keeps a trained model in a registry, as a candidate."),
    ("promote", "promote", "Puts a registered artefact at a stage."),
    ("verify", "verify", "Whether a registry is as it was written."),
)


def build_app() -> Any:
    """The cyclopts application."""
    from cyclopts import App

    app = App(
        name="samewire",
        help="Event-driven backtests and trading: one wiring from bar to order.",
        help_epilogue="Exit codes: 0 done, 1 something was found, 2 bad run file or arguments, 3 bad data, 5 Kafka, "
        "6 fenced.",
        version=version,
        exit_on_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )
    for name, place, text in COMMANDS:
        app.command(place, name=name, help=text)
    for name, function, text in OPERATING:
        place = f"samewire.commands.control:{function}"
        app.command(place, name=name, help=text, group="Operating a live session")
    config = App(name="config", help="What a run file may say.")
    config.command("samewire.commands.config:schema", name="schema", help="The JSON Schema of run files, for editors.")
    app.command(config)
    audit = App(name="audit", help="The hash-chained log of controls, configurations and orders.")
    audit.command("samewire.commands.audit:verify", name="verify", help="Whether an audit log is as it was written.")
    app.command(audit)
    runs = App(name="runs", help="The trainings that a store has recorded.")
    runs.command("samewire.commands.runs:list_runs", name="list", help="All runs of a store, the latest last.")
    runs.command(
        "samewire.commands.runs:show", name="show", help="One run: what was asked, how it went, what came out."
    )
    runs.command("samewire.commands.runs:compare", name="compare", help="Two runs side by side, by what differs.")
    runs.command(
        "samewire.commands.runs:clean", name="clean", help="What trainings that did not end left; removes it if asked."
    )
    runs.command("samewire.commands.runs:push", name="push", help="Tells other places, e.g. MLflow, what they lack.")
    app.command(runs)
    models = App(name="models", help="Trained models: which serves at which stage, since when and why.")
    for name, function, text in MODELS:
        models.command(f"samewire.commands.models:{function}", name=name, help=text)
    app.command(models)
    return app


def version() -> str:
    from importlib import metadata

    return metadata.version("samewire")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    from samewire.ownership import stranger

    said = stranger()
    if said:
        sys.stderr.write(said + "\n")
        return EXIT_ARGUMENTS
    from samewire.hiding import hiding  # from here on our own packages are known to be ours

    with contextlib.suppress(ValueError):  # a user's modules lie where the command is called; never before our own
        sys.path.append(os.getcwd()) if os.getcwd() not in sys.path else None
    terminated: list[int] = []
    try:
        with _sigterm(terminated), hiding():
            return _called(tokens)
    except KeyboardInterrupt:
        if terminated:
            return EXIT_TERMINATED
        sys.stderr.write("interrupted\n")
        return EXIT_INTERRUPT
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at exit
        return 0


def _called(tokens: list[str]) -> int:
    from cyclopts import CycloptsError

    from engine.errors import ConfigError, SamewireError, is_full, unwritten

    app = build_app()
    try:
        answer = app(tokens)
        sys.stdout.flush()
        return answer if isinstance(answer, int) else 0
    except CycloptsError as error:
        if wants_json(tokens):
            said = {"ok": False, "error": "arguments", "message": str(error), "exit_code": EXIT_ARGUMENTS}
            sys.stdout.write(json.dumps(said) + "\n")
        return EXIT_ARGUMENTS
    except SamewireError as error:
        _report(error, tokens)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:  # a folder that may not be written, a full disk
        place = error.filename or "samewire"
        other = ConfigError(f"{place}: {error.strerror or error}; choose another place")
        wrong = unwritten(place, error) if is_full(error) else other
        _report(wrong.with_traceback(error.__traceback__), tokens)
        return wrong.exit_code
    except Exception as error:  # noqa: BLE001 - a mistake in our code or in a user's class is told in one line
        _report_bug(error, tokens)
        return EXIT_FAILED


def _report(error: Any, tokens: list[str]) -> None:
    """The message on stderr; with --format json the same as one JSON object on stdout."""
    from samewire.hiding import hider

    hide = hider()
    if "--debug" in tokens:
        sys.stderr.write(hide("".join(traceback.format_exception(error))))
    if wants_json(tokens):
        known = error.as_json() if hasattr(error, "as_json") else {"ok": False, "error": type(error).__name__}
        said = hide.inside({**known, "message": str(error), "exit_code": error.exit_code})
        sys.stdout.write(json.dumps(said) + "\n")
    else:
        sys.stderr.write(hide(f"{error}\n"))


def _report_bug(error: Exception, tokens: list[str]) -> None:
    """Type and message of an error that nobody foresaw, in one line."""
    from samewire.hiding import hider

    hide, shown = hider(), "--debug" in tokens
    if shown:
        sys.stderr.write(hide("".join(traceback.format_exception(error))))
    told = hide(" ".join(hide(f"{type(error).__name__}: {error}").split()))
    message = told if shown else f"{told}; run again with --debug for the traceback"
    if wants_json(tokens):
        said = {"ok": False, "error": type(error).__name__, "message": message, "exit_code": EXIT_FAILED}
        sys.stdout.write(json.dumps(said) + "\n")
    else:
        sys.stderr.write(message + "\n")


def wants_json(tokens: Sequence[str]) -> bool:
    """Whether the arguments ask for JSON.

    >>> wants_json(["check", "run.yaml", "--format", "json"]), wants_json(["check", "run.yaml"])
    (True, False)
    """
    pairs = zip(tokens, [*tokens[1:], ""], strict=True)
    return any(a == "--format=json" or (a == "--format" and b == "json") for a, b in pairs)


@contextlib.contextmanager
def _sigterm(terminated: list[int]) -> Iterator[None]:
    """SIGTERM ends the command the way Control-C does, so that what it began is cleaned up; `terminated` notes it."""

    def terminate(number: int, frame: object) -> None:
        terminated.append(number)
        raise KeyboardInterrupt  # a SystemExit could be taken for that of the component that runs just now

    try:
        before = signal.signal(signal.SIGTERM, terminate)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
