"""Which signal a strategy reads."""

from engine.events import Signal


def pick(signals: tuple[Signal, ...], source: str | None, name: str) -> Signal:
    """The signal of `source`, or the only one there is.

    >>> pick((signal(1, [0.5], source="gbdt"),), None, "top").source
    'gbdt'
    """
    if source is None:
        if len(signals) == 1:
            return signals[0]
        known = ", ".join(s.source for s in signals) or "none"
        raise ValueError(f"{name}: it reads one signal and was given {len(signals)} ({known}); set `signal` to one")
    for signal in signals:
        if signal.source == source:
            return signal
    known = ", ".join(s.source for s in signals) or "none"
    raise ValueError(f"{name}: no signal comes from {source!r}; those that do: {known}; set `signal` to one of them")
