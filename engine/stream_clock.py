"""How late it is in a stream of bars: the time of its bars, gone on with by a clock that only measures how long."""

from collections import deque

_LONG_AGO = -(1 << 62)


class StreamClock:
    """The age of a slice is counted from when the stream first showed a bar as late as its end.

    So a deadline means the same for a feed that runs behind the wall clock, ahead of it, or sixty times as fast, and a
    wrong wall clock moves no deadline. While history is caught up with, no time passes (`hold`).

    >>> clock = StreamClock()
    >>> clock.saw(60, 1_000); clock.saw(61, 1_500)
    >>> clock.now(60, 1_007), clock.now(61, 1_507), clock.now(120, 1_507)
    (67, 68, 68)
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()  # (end of a bar, monotonic instant), both growing
        self._held = _LONG_AGO
        self._now = _LONG_AGO

    def saw(self, ts: int, monotonic_ns: int) -> None:
        """The stream showed a bar that ends at `ts`."""
        if not self._seen or ts > self._seen[-1][0]:
            self._seen.append((ts, monotonic_ns))

    def hold(self, monotonic_ns: int) -> None:
        """Until this instant no time has passed."""
        self._held = max(self._held, monotonic_ns)

    def now(self, end: int, monotonic_ns: int) -> int:
        """UTC ns of the stream, given the end of the slice that is cut next; it never goes back."""
        seen = self._seen
        while len(seen) > 1 and seen[0][0] < end and seen[1][0] <= end:
            seen.popleft()
        late = next((each for each in seen if each[0] >= end), None)
        if late is not None:
            now = end + max(0, monotonic_ns - max(late[1], self._held))
        elif seen:
            now = min(end - 1, seen[-1][0] + max(0, monotonic_ns - max(seen[-1][1], self._held)))
        else:
            now = _LONG_AGO
        self._now = max(self._now, now)
        return self._now

    def wait_ns(self, due: int, end: int, monotonic_ns: int) -> int | None:
        """How long until it is `due`, given the next slice; None where only a bar can bring that about."""
        now = self.now(end, monotonic_ns)
        if now == _LONG_AGO or (due >= end and not any(ts >= end for ts, _ in self._seen)):
            return None
        return max(0, due - now)
