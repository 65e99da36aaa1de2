"""What keeps a session from trading: a set of latches, one fold of controls that the ledger and the gate share."""

from collections.abc import Mapping

from engine.events import Control, ControlAction, Mode

_STRICTNESS = (ControlAction.REDUCE_ONLY, ControlAction.HALT, ControlAction.FLATTEN)
MODES = {
    ControlAction.REDUCE_ONLY: Mode.REDUCE_ONLY,
    ControlAction.HALT: Mode.HALTED,
    ControlAction.FLATTEN: Mode.HALTED,
}


class Latches:
    """The latches that are set, each with what it asks for; the empty name is the operator's own.

    The mode is the strictest of those set. A control that sets a latch which is set already can make it stricter and
    never looser. `resume` releases the one latch that it names, without a name the operator's own, and only if it says
    who asks: an actor that is not blank, and not `gate`, the name of the gate, which sets latches and releases none.

    >>> latches = Latches(gate="risk")
    >>> latches.take(Control(ts=1, action=ControlAction.REDUCE_ONLY, actor="risk", latch="max_drawdown"))
    ''
    >>> latches.take(Control(ts=2, action=ControlAction.RESUME))
    'nothing of the operator was set; still REDUCE_ONLY by max_drawdown: name the latch to release, and an actor'
    >>> latches.take(Control(ts=3, action=ControlAction.RESUME, actor="jo", latch="max_drawdown")), latches.mode
    ('', <Mode.ACTIVE: 0>)
    """

    def __init__(self, *, gate: str = "") -> None:
        self._gate = gate
        self.mode = Mode.ACTIVE
        self.set: dict[str, ControlAction] = {}

    @property
    def flatten(self) -> bool:
        """Whether one of them closes all positions."""
        return ControlAction.FLATTEN in self.set.values()

    def take(self, control: Control) -> str:
        """Sets or releases what the control asks for. Returns what of it could not be done, empty = all was."""
        if control.action is ControlAction.RESUME:
            said = self._release(control)
        elif control.action in MODES:
            said = self._tighten(control)
        else:
            return ""  # speaks of a model
        self._derive()
        return said

    def idle(self, control: Control) -> str:
        """Why taking this control would change nothing, empty where it would, or where all is as it asks already."""
        tried = Latches(gate=self._gate)
        tried.load(self.save())
        said = tried.take(control)
        return said if tried.set == self.set else ""

    def _tighten(self, control: Control) -> str:
        before = self.set.get(control.latch)
        if before is not None and _STRICTNESS.index(before) > _STRICTNESS.index(control.action):
            return f"{_named(control.latch)} stays {before}: resume it before {control.action}"
        self.set[control.latch] = control.action
        return ""

    def _release(self, control: Control) -> str:
        latch = control.latch
        if latch in self.set and (stays := self._keeps(latch, control.actor.strip())):
            return stays
        why = "" if self.set.pop(latch, None) else _unset(latch)
        if not self.set:
            return why
        self._derive()
        others = ", ".join(name or "the operator" for name in self.set)
        still = f"still {self.mode.name} by {others}: name the latch to release, and an actor"
        return f"{why}; {still}" if why else still

    def _keeps(self, latch: str, actor: str) -> str:
        """Why this actor does not release a latch that is set, empty = it does."""
        stays = f"{_named(latch)} stays {self.set[latch]}"
        if not actor:
            return f"{stays}: say who releases it (actor)"
        return (
            f"{stays}: {actor!r} is the gate, which releases nothing: an operator has to" if actor == self._gate else ""
        )

    def _derive(self) -> None:
        self.mode = max((MODES[action] for action in self.set.values()), default=Mode.ACTIVE)

    def save(self) -> dict[str, str]:
        return {name: str(action) for name, action in self.set.items()}

    def load(self, saved: Mapping[str, str]) -> None:
        self.set = {name: ControlAction(action) for name, action in saved.items()}
        self._derive()


def _named(latch: str) -> str:
    return latch or "the operator's own latch"


def _unset(latch: str) -> str:
    return f"{latch} is not set" if latch else "nothing of the operator was set"
