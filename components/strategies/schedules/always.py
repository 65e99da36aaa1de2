"""Every slice: what a strategy does by itself."""

from components.strategies.guards import View


class Always:
    """Due in every slice; what is wanted becomes shares in each."""

    def due(self, view: View, /) -> bool:
        return True
