"""Trading hours: what is worked in them, and what happens out of them."""

import numpy as np

from engine.calendar import Sessions
from engine.events import DAY_NS, MINUTE_NS
from tests.components.execution.floor import OPEN_NS


def session() -> Sessions:
    """Two days from 09:30 to 16:00 in New York, without a break."""
    opens = np.array([OPEN_NS, OPEN_NS + DAY_NS])
    label, none = opens // DAY_NS * DAY_NS, np.zeros(2, np.int64)
    return Sessions(name="X", label=label, opens=opens, closes=opens + 390 * MINUTE_NS, break_from=none, break_to=none)
