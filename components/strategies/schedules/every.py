"""Every so many slices."""

from components.strategies.guards import View, slices_of


class Every:
    """Due `slices` slices after it was due last.

    >>> from components.strategies.guards import view_of
    >>> from engine.universe import universe_of
    >>> import msgspec
    >>> view = view_of(universe_of(("A",)), bars(ts=1, close=[1.0]), book(1, [1.0]))
    >>> [Every(slices=2).due(msgspec.structs.replace(view, slices=k)) for k in (1, 2)]
    [False, True]
    """

    def __init__(self, *, slices: int) -> None:
        self._slices = slices_of("slices", slices)

    def due(self, view: View, /) -> bool:
        return view.slices >= self._slices
