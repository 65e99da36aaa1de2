"""The names of the calendars, so that a wrong one is told without loading the library that makes them."""

import difflib

_NAMES = """
24/5 24/7 AIXK ARCX ASEX ASX BATS BMF BSE BVB BVMF CBOT CFE CME CMES COMEX FWB HKEX ICE ICEUS IEPA JKT JPX LSE
LUXSE NASDAQ NYFE NYMEX NYSE OOTC OSE SIX SSE TASE TSX XAMS XASE XASX XBDA XBEL XBKK XBOG XBOM XBRA XBRU XBSE
XBUD XBUE XCBF XCSE XCYS XDUB XDUS XEEE XETR XEUR XFRA XHAM XHEL XHKG XICE XIDX XIST XJSE XKAR XKLS XKRX XLIM
XLIS XLIT XLJU XLON XLUX XMAD XMEX XMIL XMOS XNAS XNYS XNZE XOSL XPAR XPHS XPRA XRIS XSAU XSES XSGO XSHG XSTO
XSTU XSWX XTAE XTAI XTAL XTKS XTSE XTSX XWAR XWBO XZAG us_futures
"""
CALENDARS = tuple(_NAMES.split())


def checked_name(name: str) -> str:
    """The name itself, or a ValueError with the nearest ones.

    >>> checked_name("XNYS")
    'XNYS'
    >>> checked_name("NYS")
    Traceback (most recent call last):
    ValueError: calendar names 'NYS', which exchange_calendars does not have; did you mean XNYS, NYSE or XNAS?
    """
    if name in CALENDARS:
        return name
    known = {known.upper(): known for known in CALENDARS}
    near = difflib.get_close_matches(name.upper(), known, n=3, cutoff=0.5)
    *others, last = [known[found] for found in near] or ["XNYS (New York)", "XLON (London)", "24/7"]
    said = f"{', '.join(others)} or {last}" if others else last
    hint = f"did you mean {said}?" if near else f"there are {len(CALENDARS)}, such as {said}"
    raise ValueError(f"calendar names {name!r}, which exchange_calendars does not have; {hint}")
