"""Logs and progress: what is written where, and what never is."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from samewire.logs import HIDDEN, SIM_TS, bound_run, configure, redact
from samewire.prepare import Progress
from samewire.progress import showing
from tests.make import START_NS, day


class Ticking:
    """A clock that moves a second at each reading."""

    def __init__(self) -> None:
        self._ns = START_NS

    def now_ns(self) -> int:
        self._ns += 10**9
        return self._ns

    cpu_ns = monotonic_ns = now_ns


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_elsewhere_than_on_a_terminal_each_log_is_one_json_line_with_both_times_and_the_run() -> None:
    out = io.StringIO()
    configure(clock=Ticking(), stream=out, level="info")
    with bound_run("hash", Ticking()) as run_id:
        SIM_TS.set(day(1))
        structlog.get_logger("samewire.test").info("order.rejected", symbol="AAA")
        SIM_TS.set(0)
    structlog.get_logger("samewire.test").info("done")
    first, last = lines(out)
    assert first == {
        "event": "order.rejected",
        "symbol": "AAA",
        "level": "info",
        "logger": "samewire.test",
        "mode": "replay",
        "run_id": run_id,
        "ts": "2018-01-02T21:00:01.000000Z",
        "sim_ts": "2018-01-03T21:00:00.000000Z",
    }
    assert "run_id" not in last
    assert "sim_ts" not in last


def test_logs_of_libraries_have_the_same_form() -> None:
    out = io.StringIO()
    configure(clock=Ticking(), stream=out)
    logging.getLogger("some.library").warning("retrying %s", "now")
    assert [(line["event"], line["level"], line["logger"]) for line in lines(out)] == [
        ("retrying now", "warning", "some.library")
    ]


def test_a_terminal_shows_text_and_the_form_may_be_said() -> None:
    for stream, form, starts in (
        (Terminal(), "auto", "2018"),
        (Terminal(), "json", "{"),
        (io.StringIO(), "console", "2018"),
    ):
        configure(form, clock=Ticking(), stream=stream)  # type: ignore[arg-type]
        structlog.get_logger("samewire.test").warning("careful")
        text = stream.getvalue().replace("\x1b[2m", "")
        assert text.startswith(starts)
        assert "careful" in text


def test_debug_is_silent_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    configure(clock=Ticking(), stream=out)
    structlog.get_logger("samewire.test").debug("session.started")
    assert out.getvalue() == ""
    monkeypatch.setenv("SAMEWIRE_LOG", "debug")
    configure(clock=Ticking(), stream=out)
    structlog.get_logger("samewire.test").debug("session.started")
    assert "session.started" in out.getvalue()


@pytest.mark.parametrize(
    "event",
    [
        {"password": "hunter2"},
        {"api_key": "hunter2"},
        {"API-KEY": "hunter2"},
        {"broker": {"access_token": "hunter2"}},
        {"list": [{"client_secret": "hunter2"}]},
        {"event": "connecting with password=hunter2 now"},
        {"event": "Authorization: Bearer hunter2"},
        {"url": "kafka://user:hunter2@host:9092"},
        {"body": '{"token": "hunter2"}'},
    ],
)
def test_secrets_are_hidden(event: dict[str, object]) -> None:
    said = json.dumps(redact(None, "info", dict(event)))
    assert "hunter2" not in said
    assert HIDDEN in said


def test_a_secret_in_an_exception_is_hidden() -> None:
    out = io.StringIO()
    configure(clock=Ticking(), stream=out)
    try:
        raise ConnectionError("refused: password=hunter2")
    except ConnectionError:
        structlog.get_logger("samewire.test").exception("gateway.lost")
    assert "hunter2" not in out.getvalue()
    assert "ConnectionError" in out.getvalue()


def test_what_is_no_secret_stays() -> None:
    event = {"event": "order.accepted", "symbol": "TOKN", "keys": 5, "passed": True, "url": "https://host:80/a@b"}
    assert redact(None, "info", dict(event)) == event


# ---- progress --------------------------------------------------------------------------------------------------------


def shown(stream: io.StringIO, total: int | None, slices: int, **options: object) -> str:
    with showing(Ticking(), stream=stream, **{"environ": {}, **options}) as show:  # type: ignore[arg-type]
        for k in range(1, slices + 1):
            show(Progress(day(k), k, None if total is None else k / total, 1e6 + k))
            assert SIM_TS.get() == day(k)
    assert SIM_TS.get() == 0
    return stream.getvalue()


def test_elsewhere_than_on_a_terminal_there_is_a_line_every_tenth() -> None:
    text = shown(io.StringIO(), 40, 40).splitlines()
    assert len(text) == 10
    assert text[0] == " 10 %  2018-01-06  4 slices  equity 1,000,004"
    assert text[-1].startswith("100 %")


def test_where_the_end_is_unknown_there_is_a_line_every_thirty_seconds() -> None:
    assert len(shown(io.StringIO(), None, 95).splitlines()) == 3


def test_a_terminal_gets_a_bar_that_is_gone_in_the_end() -> None:
    text = shown(Terminal(), 40, 40)
    assert "100%" in text
    assert "\x1b[2K" in text


def test_quiet_is_quiet_and_ci_has_no_bar() -> None:
    assert shown(Terminal(), 40, 40, quiet=True) == ""
    assert "\x1b" not in shown(Terminal(), 40, 40, environ={"CI": "1"})
    assert "\x1b" not in shown(Terminal(), 40, 40, environ={"TERM": "dumb"})
