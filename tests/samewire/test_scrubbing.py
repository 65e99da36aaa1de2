"""Errors that Python code is given: their words, their fields and their causes hold no secret."""

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from engine.secret import HIDDEN
from samewire.hiding import Hider
from samewire.scrubbing import raise_scrubbed, scrub

TOLD = "sw0rdfish-77"


@pytest.fixture
def hide() -> Hider:
    made = Hider()
    made.add(TOLD)
    return made


class Slotted(Exception):  # noqa: N818 - an error all the same
    """One that keeps its words in slots."""

    __slots__ = ("asked", "reply")

    def __init__(self, reply: str, asked: tuple[str, ...]) -> None:
        super().__init__()
        self.reply, self.asked = reply, asked

    def __str__(self) -> str:
        return f"{self.reply} for {self.asked}"


class Fixed(Exception):  # noqa: N818 - an error all the same
    """One that says the same whatever is done to it."""

    def __str__(self) -> str:
        return f"login with {TOLD}"


class Stubborn(Exception):  # noqa: N818 - an error all the same
    """One that lets nobody change it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        object.__setattr__(self, "text", text)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(name)


def passed(call: Callable[[], None], hide: Hider) -> None:
    """What a session does with an error on its way out."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - raised again
        raise_scrubbed(error, hide)


def raises(error: BaseException) -> None:
    raise error


def all_of(error: BaseException) -> str:
    """Whatever somebody who catches it would print of it."""
    shown = "".join(traceback.format_exception(error))
    at: BaseException | None = error
    while at is not None:
        shown += f"{at!r} {at.args} {vars(at)} {[getattr(at, name, '') for name in ('filename', 'filename2', 'text')]}"
        at = at.__cause__ or at.__context__
    return shown


@pytest.mark.parametrize(
    "make",
    [
        lambda: FileNotFoundError(2, "No such file", f"/keys/{TOLD}", None, f"/other/{TOLD}"),
        lambda: Slotted(f"no {TOLD}", (TOLD, "x")),
        lambda: ValueError({"asked": [TOLD]}, TOLD.encode()),
        lambda: KeyError(TOLD),
        lambda: SyntaxError("wrong", ("f.py", 1, 1, f"login('{TOLD}')")),
        lambda: UnicodeDecodeError("utf-8", TOLD.encode() + b"\xff", 12, 13, "invalid"),
        lambda: ImportError("none", name=TOLD, path=f"/{TOLD}"),
        lambda: SystemExit(TOLD),
        lambda: ValueError(RuntimeError(TOLD)),
        Fixed,
        lambda: Stubborn(TOLD),
        lambda: ExceptionGroup(f"with {TOLD}", [ValueError("inner")]),
        lambda: ExceptionGroup("two", [ExceptionGroup("in", [Fixed(), ValueError(TOLD)]), KeyError("other")]),
    ],
)
@pytest.mark.parametrize("place", ["itself", "cause", "context"])
def test_nothing_that_is_printed_of_it_holds_a_secret(make: Any, place: str, hide: Hider) -> None:
    error: BaseException = make()
    if place != "itself":
        outer = RuntimeError("outer")
        setattr(outer, f"__{place}__", error)
        error = outer
    error.add_note(f"note of {TOLD}") if not isinstance(error, Stubborn) else None
    told = scrub(error, hide)
    assert "sw0rd" not in all_of(told)
    assert HIDDEN in all_of(told)
    if place != "itself":
        assert told is error


def test_one_that_gives_way_keeps_its_traceback_and_what_it_came_from(hide: Hider) -> None:
    def fails() -> None:
        try:
            raise LookupError(TOLD)
        except LookupError as first:
            raise Fixed from first

    with pytest.raises(RuntimeError, match=r"Fixed: login with \[hidden\]") as caught:
        passed(fails, hide)
    told = caught.value
    assert isinstance(told.__cause__, LookupError)
    assert "in fails" in "".join(traceback.format_tb(told.__traceback__))
    assert "sw0rd" not in all_of(told)
    assert not any(isinstance(at, Fixed) for at in (told.__cause__, told.__context__))


def test_a_group_that_gives_way_has_all_of_its_errors(hide: Hider) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        passed(lambda: raises(ExceptionGroup(TOLD, [ValueError("a"), Fixed()])), hide)
    assert caught.value.message == HIDDEN
    assert [type(inner) for inner in caught.value.exceptions] == [ValueError, RuntimeError]
    assert "sw0rd" not in all_of(caught.value)


def test_an_error_without_a_secret_is_left_alone(hide: Hider) -> None:
    error = Slotted("reply", ("x",))
    error.__cause__ = cause = OSError(2, "No such file", "/some/path")
    with pytest.raises(Slotted) as caught:
        passed(lambda: raises(error), hide)
    assert (caught.value, caught.value.__cause__, cause.filename, cause.errno) == (error, cause, "/some/path", 2)
    assert scrub(error, Hider()) is error
