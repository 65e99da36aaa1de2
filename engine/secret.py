"""A password or key in memory: it shows itself to nobody who does not ask for it by name."""

import hmac

HIDDEN = "[hidden]"


class Secret:
    """A text that is never written by accident: printed, formatted, logged or saved, it is `[hidden]` or an error.

    >>> password = Secret("correct horse")
    >>> f"{password}", repr(password), password.reveal()
    ('[hidden]', "Secret('[hidden]')", 'correct horse')
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself: for the call that needs it, and for nothing that is kept."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        raise TypeError("a secret is neither copied nor saved; hand on the object itself")
