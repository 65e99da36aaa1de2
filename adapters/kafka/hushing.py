"""What the Kafka client logs, once and not hundreds of times: it says the same with every retry, ten times a second."""

import logging

_AGAIN_S = 30.0


class Seldom:
    """Lets one record of each text through, and the next of it only after a while, with how many were held back."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, int]] = {}  # text before its values -> when it was let through, held since

    def __call__(self, record: logging.LogRecord) -> bool:
        """
        >>> seldom, said = Seldom(), logging.LogRecord("client", logging.ERROR, "", 0, "no %s", ("broker",), None)
        >>> seldom(said), seldom(said)
        (True, False)
        >>> said.created += 31
        >>> seldom(said), said.getMessage()
        (True, 'no broker (and 1 more like it)')
        """
        text = str(record.msg)
        at, held = self._seen.get(text, (float("-inf"), 0))
        if record.created - at < _AGAIN_S:
            self._seen[text] = (at, held + 1)
            return False
        self._seen[text] = (record.created, 0)
        if held:
            record.msg = f"{text} (and {held:,} more like it)"
        return True


def hush() -> None:
    """For all loggers of the client that there are by now."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == "aiokafka"]
    for logger in map(logging.getLogger, names):
        if not any(isinstance(each, Seldom) for each in logger.filters):
            logger.addFilter(Seldom())
