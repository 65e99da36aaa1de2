"""Numbers and amounts in words."""


def number(value: float | None) -> str:
    """A number as a reader wants it.

    >>> number(1234567.0), number(0.1234567), number(float("nan")), number(103.75), number(1234.5678)
    ('1,234,567', '0.123457', '-', '103.75', '1,234.57')
    """
    if value is None or value != value:
        return "-"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value + 0.0:,.0f}"  # no -0
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.6g}"


def shares(qty: float) -> str:
    """A signed number of shares.

    >>> shares(1.0), shares(-0.25), shares(100.0)
    ('1 share', '-0.25 shares', '100 shares')
    """
    return f"{number(qty)} {'share' if qty == 1 else 'shares'}"


def side(qty: float) -> str:
    return "sell" if qty < 0 else "buy"
