"""Compatibility presets: settings under which a session reproduces what another engine publishes.

A preset is a bundle of ordinary options and nothing else: what the run file says itself wins over it, and the resolved
run file shows every option that it set. docs/compat.md says where each departs from this engine's own rules, and why.
"""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from samewire.diagnostics import Origin
from samewire.yaml_text import Entries, Items, Node, Text, from_python

PRESETS: MappingProxyType[str, MappingProxyType[str, Any]] = MappingProxyType(
    {
        "qlib": MappingProxyType(
            {
                "models": {"lag": 1},
                "optimizer": {"use": "direct", "afford": False, "reserve_bps": 0},
                "broker": {
                    "use": "simulated",
                    "fill": "same_close",
                    "costs": {"use": "by_side", "buy_bps": 5, "sell_bps": 15, "minimum": 5},
                },
            }
        ),
        "zipline": MappingProxyType(
            {
                "optimizer": {"use": "direct", "afford": False, "reserve_bps": 0, "time_in_force": "gtc"},
                "broker": {
                    "use": "simulated",
                    "fill": "next_close",
                    "short": True,
                    "leverage": 1000,
                    "participation": 0.025,
                    "dividends": "ignored",
                    "fractions": "lost",
                    "costs": [
                        {"use": "volume_share", "impact": 0.1},
                        {"use": "per_share", "rate": 0.0075, "minimum": 1},
                    ],
                },
            }
        ),
        "backtrader": MappingProxyType(
            {
                "optimizer": {"use": "direct", "afford": False, "reserve_bps": 0},
                "broker": {"use": "simulated", "fill": "next_open", "short": True, "costs": {"use": "bps"}},
            }
        ),
        "lean": MappingProxyType(
            {
                "optimizer": {"use": "direct", "afford": False, "reserve_bps": 0},
                "broker": {
                    "use": "simulated",
                    "fill": "same_close",
                    "when_closed": "next_open",
                    "short": True,
                    "leverage": 2,
                    "costs": [
                        {"use": "half_spread"},
                        {"use": "per_share", "rate": 0.005, "minimum": 1, "maximum": 0.005},
                    ],
                },
            }
        ),
    }
)
_LISTS = ("models",)  # sections whose every item takes the preset's options


def with_preset(root: Entries, name: str, said: Node) -> Entries:
    """The run file with the preset's options where it says nothing; places point to where `compat` was said."""
    origin = Origin(f"compat: {name}", Path("."))
    values, keys = dict(root.values), dict(root.keys)
    for section, options in PRESETS[name].items():
        preset = from_python(options, origin)
        if section not in values:
            if section not in _LISTS:
                values[section], keys[section] = _at(preset, said), said.where
        else:
            values[section] = _filled(values[section], _at(preset, said))
    return Entries(values, keys, root.where)


def _filled(node: Node, preset: Node) -> Node:
    """The node with what the preset says besides; untouched where it names another component."""
    if isinstance(node, Items):
        return Items(tuple(_filled(item, preset) for item in node.items), node.where)
    if not isinstance(preset, Entries):
        return node
    if isinstance(node, Text):
        if not node.value:
            return preset
        node = Entries({"use": node}, {"use": node.where}, node.where)
    own, theirs = node.values.get("use"), preset.values.get("use")
    if isinstance(own, Text) and isinstance(theirs, Text) and own.value != theirs.value:
        return node
    values, keys = dict(node.values), dict(node.keys)
    for key, inner in preset.values.items():
        if key not in values:
            values[key], keys[key] = inner, preset.keys[key]
        elif isinstance(values[key], Entries) and isinstance(inner, Entries):
            values[key] = _filled(values[key], inner)
    return Entries(values, keys, node.where)


def _at(node: Node, said: Node) -> Node:
    """The node as if it had been written where the preset was named."""
    if isinstance(node, Items):
        return Items(tuple(_at(item, said) for item in node.items), said.where)
    if isinstance(node, Entries):
        return Entries(
            {key: _at(inner, said) for key, inner in node.values.items()},
            dict.fromkeys(node.keys, said.where),
            said.where,
        )
    return replace(node, where=said.where)
