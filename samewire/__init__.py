"""Samewire: one wiring from bar to order, for history and for live.

>>> from samewire import Universe, universe_of
>>> universe_of(("AAA", "BBB")).symbols
('AAA', 'BBB')
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.execution.pace import Market as Market
    from components.execution.pace import Pace as Pace
    from components.execution.pace import Parents as Parents
    from components.features.column import Column as Column
    from components.features.column import Rows as Rows
    from engine.bus import Bus as Bus
    from engine.calendar import Sessions as Sessions
    from engine.errors import ConfigError as ConfigError
    from engine.errors import DataError as DataError
    from engine.errors import SamewireError as SamewireError
    from engine.events import *  # noqa: F403
    from engine.ids import OrderIds as OrderIds
    from engine.protocols import *  # noqa: F403
    from engine.secret import Secret as Secret
    from engine.state import pack as pack
    from engine.state import unpack as unpack
    from engine.universe import Universe as Universe
    from engine.universe import universe_of as universe_of
    from samewire.api import arun as arun
    from samewire.api import open_session as open_session
    from samewire.api import run as run
    from samewire.result import Result as Result
    from samewire.schema import load_run as load_run

# Where each public name lives. They are imported when first asked for, so that the command line starts at once.
_HOMES = {
    "samewire.api": ("run", "arun", "open_session"),
    "samewire.result": ("Result",),
    "samewire.schema": ("load_run",),
    "components.execution.pace": ("Market", "Pace", "Parents"),
    "components.features.column": ("Column", "Rows"),
    "engine.bus": ("Bus", "Calls", "Lost", "Route", "Tap"),
    "engine.calendar": ("Sessions",),
    "engine.errors": ("ComponentError", "ConfigError", "DataError", "SamewireError", "StateError"),
    "engine.ids": ("OrderIds",),
    "engine.secret": ("Secret",),
    "engine.state": ("pack", "unpack"),
    "engine.universe": ("Universe", "universe_of"),
    "engine.events": (
        *("Control", "Reference", "Late", "Bars", "Timer", "Actions", "Watermark", "Features", "Signal", "Target"),
        *("Orders", "Children", "Approved", "Refusals", "Reports", "Fills", "Book", "Note", "Event", "OpenOrders"),
        *("Charges", "ChargeKind"),
        *("Status", "Mode", "ControlAction", "ActionKind", "TargetKind", "LegAction", "OrderKind", "TimeInForce"),
        *("OrderState", "Vector", "Matrix", "Mask", "Codes", "Stamps", "Ids", "FEE_KINDS"),
        *("SECOND_NS", "MINUTE_NS", "HOUR_NS", "DAY_NS"),
    ),
    "engine.protocols": (
        *("Artefact", "Dataset", "Table", "FeatureSet", "Model", "Trainable", "Strategy", "Optimizer", "Execution"),
        *("Gate", "Broker", "Risk", "RiskModel", "CostModel", "Stateful", "Source", "Sink", "Feed", "Issue"),
        *("Bookkeeping", "Conditions", "Financing"),
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'samewire' has no attribute {name!r}")
    return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
    return list(__all__)
