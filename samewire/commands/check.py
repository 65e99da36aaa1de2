"""`samewire check`: is this run file right?"""

from pathlib import Path

from samewire.commands.common import AS_IT_STANDS, NO_OUTPUT, Output, Taken, say, say_json, table


def check(run_file: Path, /, *, taken: Taken = AS_IT_STANDS, output: Output = NO_OUTPUT) -> int:
    """Checks a run file and prints all its problems at once, without reading any market data.

    Parameters
    ----------
    run_file
        The YAML file.
    """
    from samewire.agent_cautions import checked_market
    from samewire.cautions import cautions
    from samewire.diagnostics import shown_path
    from samewire.hindsight import hindsight
    from samewire.run_file import execution_text, strategy_text
    from samewire.schema import config_hash

    run = taken.load(run_file)
    policy = run.execution
    parts = [
        ("session", run.session.name),
        ("feed", run.feed.use),
        ("features", ", ".join(component.name for component in run.features) or "none"),
        ("models", ", ".join(spec.component.name for spec in run.models)),
        ("strategy", ", ".join(map(strategy_text, run.strategies))),
        ("optimizer", run.optimizer.use),
        ("execution", "none" if policy is None else execution_text(policy.use, policy.options.get("horizon"))),
        ("risk", run.risk.use),
        ("broker", run.broker.use),
    ]
    warned = (*cautions(run), *hindsight(run), *checked_market(run))
    if output.json:
        said = {"ok": True, "file": str(run_file), "config_hash": config_hash(run), **dict(parts)}
        say_json(said | {"warnings": [caution.as_json() for caution in warned]})
        return 0
    say(f"{shown_path(str(run_file))}: no problem found")
    say(table([*parts, ("config hash", config_hash(run)[:16])]))
    for caution in warned:
        say(f"warning {caution.where}  {caution}")
    return 0
