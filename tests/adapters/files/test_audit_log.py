"""What the audit log says of events."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from adapters.files.audit_file import walk
from adapters.files.audit_log import AuditLog
from engine.events import Approved, Control, ControlAction, Fills, Note, Refusals, Reports
from tests.make import bars, day

NAN = np.nan


def approved(**columns: Any) -> Approved:
    given: dict[str, Any] = {
        "action": [0, 1],
        "ids": [7, 8],
        "ref": [0, 5],
        "symbol": [0, 1],
        "qty": [100.0, 0.0],
        "kind": [1, 0],
        "limit": [9.5, NAN],
        "stop": [NAN, NAN],
        "tif": [1, 0],
        "expires": [0, 0],
        "trail": [NAN, NAN],
    } | columns
    kinds = {"ids": np.uint64, "ref": np.uint64, "expires": np.int64}
    whole = {"action", "symbol", "kind", "tif"}
    made = {n: np.array(c, np.int32 if n in whole else kinds.get(n, np.float64)) for n, c in given.items()}
    return Approved(ts=day(1), **made)


def lines(path: Path, runs: list[list[tuple[str, Any]]]) -> list[dict[str, Any]]:
    log = AuditLog(path)
    log.begin(("AA", "BB"), {"run_id": "r"}, {"config_hash": "c"})
    for run in runs:
        log.append([origin for origin, _ in run], [event for _, event in run])
    log.end(day(9), {"journal": "d"})
    assert walk(path).wrong == ""
    assert (walk(path).head, walk(path).lines) == (log.head, log.lines)
    return [json.loads(line) for line in path.read_text().splitlines()]


def facts(path: Path, event: Any, origin: str = "risk") -> list[tuple[str, dict[str, Any]]]:
    return [(line["kind"], line["facts"]) for line in lines(path, [[(origin, event)]])[2:-1]]


def test_an_approved_leg_says_all_that_a_broker_gets(tmp_path: Path) -> None:
    assert facts(tmp_path / "a", approved()) == [
        (
            "approved",
            {
                "id": "0000000000000007",
                "action": "new",
                "symbol": "AA",
                "qty": 100.0,
                "order": "limit",
                "tif": "good_till_cancelled",
                "by": "risk",
                "limit": 9.5,
            },
        ),
        (
            "approved",
            {
                "id": "0000000000000008",
                "action": "cancel",
                "symbol": "BB",
                "qty": 0.0,
                "order": "market",
                "tif": "day",
                "by": "risk",
                "ref": "0000000000000005",
            },
        ),
    ]


def test_a_refusal_says_rule_value_and_threshold(tmp_path: Path) -> None:
    refused = Refusals(
        ts=day(1),
        by="risk",
        ids=np.array([7], np.uint64),
        symbol=np.array([5], np.int32),  # outside the universe
        qty=np.array([3.0]),
        rule=("max_weight",),
        value=np.array([0.2]),
        threshold=np.array([NAN]),
    )
    said = {"id": f"{7:016x}", "symbol": "#5", "qty": 3.0, "by": "risk", "rule": "max_weight", "value": 0.2}
    assert facts(tmp_path / "a", refused) == [("refused", {**said, "threshold": None})]


def test_reports_and_fills_are_told_leg_by_leg(tmp_path: Path) -> None:
    ids, symbol = np.array([7, 9], np.uint64), np.array([0, 1], np.int32)
    report = Reports(ts=day(1), ids=ids, symbol=symbol, state=np.array([0, 4], np.int32), left=np.array([5.0, 0.0]))
    fill = Fills(
        ts=day(1),
        exec_ids=ids,
        order_ids=ids,
        symbol=symbol,
        qty=np.array([5.0, -1.0]),
        price=np.array([10.0, 20.0]),
        reference=np.array([9.9, 20.0]),
        fees=np.array([[1.0, 0, 0], [0, 0, 0.5]]),
        at=np.array([day(1), day(1)]),
    )
    said = facts(tmp_path / "a", report)
    assert [fact["state"] for _, fact in said] == ["accepted", "expired"]
    told = facts(tmp_path / "b", fill)
    assert [(fact["symbol"], fact["qty"], fact["price"], fact["reference"], fact["fees"]) for _, fact in told] == [
        ("AA", 5.0, 10.0, 9.9, [1.0, 0.0, 0.0]),
        ("BB", -1.0, 20.0, 20.0, [0.0, 0.0, 0.5]),
    ]


def test_controls_say_who_and_which_latch(tmp_path: Path) -> None:
    halt = Control(ts=day(1), action=ControlAction.HALT, actor="risk", reason="loss of 6 %", latch="daily_loss")
    swap = Control(ts=day(1), action=ControlAction.SWAP_MODEL, component="gbdt", artefact="ab" * 16, actor="trainer")
    assert facts(tmp_path / "a", halt) == [
        ("control", {"action": "halt", "by": "risk", "actor": "risk", "reason": "loss of 6 %", "latch": "daily_loss"})
    ]
    told = {"action": "swap_model", "by": "input", "component": "gbdt", "artefact": "ab" * 16, "actor": "trainer"}
    assert facts(tmp_path / "b", swap, "input") == [("model", told)]


def test_what_of_a_control_could_not_be_done_is_told_behind_it(tmp_path: Path) -> None:
    """Or a release that was refused would read like one."""
    resume = Control(ts=day(1), action=ControlAction.RESUME, latch="max_drawdown")
    text = "resume: max_drawdown stays halt: say who releases it (actor)"
    run = [("input", resume), ("risk", Note(ts=day(1), source="risk", kind="latch", text=text))]
    told = [(line["kind"], line["facts"]) for line in lines(tmp_path / "a", [run])[2:-1]]
    assert told == [
        ("control", {"action": "resume", "by": "input", "latch": "max_drawdown"}),
        ("latch", {"by": "risk", "text": text}),
    ]


def test_positions_that_stay_are_told_by_name(tmp_path: Path) -> None:
    symbol, value = np.array([1, 9], np.int32), np.array([3.0, NAN])
    stay = Note(ts=day(1), source="risk", kind="latch", text="flatten: 2 positions stay", symbol=symbol, value=value)
    told = {"by": "risk", "text": "flatten: 2 positions stay", "positions": {"BB": 3.0, "#9": None}}
    assert facts(tmp_path / "a", stay) == [("latch", told)]


def test_other_notes_have_no_line(tmp_path: Path) -> None:
    assert facts(tmp_path / "a", Note(ts=day(1), source="direct", kind="lot", text="no lot"), "direct") == []


def test_what_is_no_order_and_no_control_has_no_line(tmp_path: Path) -> None:
    assert facts(tmp_path / "a", bars(day(1), [1.0, 2.0]), "input") == []


def test_a_run_is_in_the_file_once_it_is_over(tmp_path: Path) -> None:
    """A reader, and a restart after a kill, see whole lines only of runs that were complete."""
    log = AuditLog(tmp_path / "a")
    log.begin(("AA", "BB"), {}, {})
    log.append(["risk"], [approved()])
    assert walk(tmp_path / "a").lines == 4
    log.close()


def test_a_restart_says_again_what_the_session_is_made_of(tmp_path: Path) -> None:
    for config in ("c1", "c2"):
        log = AuditLog(tmp_path / "a")
        log.begin(("AA", "BB"), {"run_id": config}, {"config_hash": config})
        log.append(["risk"], [approved()])
        log.close()
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "a").read_text().splitlines()]
    assert kinds == ["header", "session", "approved", "approved", "session", "approved", "approved"]
    assert walk(tmp_path / "a").wrong == ""
