"""What a game is made of, as hashes: a saved state goes on in no other one."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.brokers.beside import Beside, Met
from components.rl.days import Days
from components.rl.episodes import Orders
from components.rl.rewards import Reward, Step
from components.rl.tape import Tape
from engine.events import Vector

_ASKED_MAX = 4096  # orders that a market is asked about


def game_hashes(*, days: Days, tape: Tape, orders: Orders, market: Beside, reward: Reward) -> dict[str, str]:
    """Each part by its own hash. Markets and rewards are known by what they answer: cost models may be the user's own.

    About a second for 300 MB of days.
    """
    return {
        "days": _hashed(*_told_by(days)),
        "tape": _hashed([repr(tape.unit)], [tape.expected]),
        "orders": _hashed([], [getattr(orders, name) for name in orders.__struct_fields__]),
        "market": _hashed([market.column, repr(market.participation)], _asked(market, days, orders)),
        "reward": _hashed([type(reward).__qualname__], [_worth(reward)]),
    }


def inputs_of(days: Days, orders: Orders) -> str:
    """A hash of all that an agent of these orders may learn from: quotes and what is fixed of symbols are in it."""
    from blake3 import blake3

    (words, arrays), whole = _told_by(days), blake3()
    columns = [getattr(orders, name) for name in orders.__struct_fields__]
    whole.update("\n".join(words).encode())
    for array in (*arrays, *columns):
        _add(whole, array)
    return whole.hexdigest()


def _told_by(days: Days) -> tuple[list[str], list[NDArray[Any]]]:
    """Whatever days and their universe have, by words and arrays."""
    words: list[str] = []
    arrays: list[NDArray[Any]] = []
    for part in (days.universe, days):
        for name in part.__struct_fields__:
            value = getattr(part, name)
            if isinstance(value, np.ndarray):
                arrays.append(value)
            elif name == "extra" and part is days:
                arrays += value
            elif name != "universe":
                words.append(f"{name} {value!r}")
    return words, arrays


def _asked(market: Beside, days: Days, orders: Orders) -> list[NDArray[Any]]:
    """What orders trade, and at what price and fees, in bars of which each has ten times its shares."""
    some = orders.rows(np.arange(0, len(orders), -(-len(orders) // _ASKED_MAX)))
    price: Vector = np.linspace(50.0, 150.0, len(some))
    bid, ask = (None, None) if market.quotes is None else (price * 0.999, price * 1.001)
    met = Met(
        ts=days.ts[some.day, some.start + 1],
        price=price,
        volume=some.quantity * 10.0,
        status=np.zeros(len(some), np.int32),
        bid=bid,
        ask=ask,
    )
    traded = market.trade(met, some.symbol, some.side * some.quantity)
    return [traded.qty, traded.price, traded.reference, traded.fees]


def _worth(reward: Reward) -> NDArray[Any]:
    """Rewards of steps of which the first trades well, the second badly, the third nothing; then at the end of all."""
    one, amount = np.ones(6), np.array([30.0, 20.0, 0.0] * 2)
    price = np.array([99.0, 102.0, 100.0, 80.0, 120.0, 100.0])
    step = Step(
        side=np.array([1, 1, -1] * 2, np.int32),
        quantity=one * 100,
        amount=amount,
        value=amount * price,
        squares=(amount / 100) ** 2,
        filled=amount,
        spent=amount * price,
        done=np.arange(6) >= 3,
        rest=np.where(np.arange(6) >= 3, 100.0 - amount, 0.0),
        rest_value=np.where(np.arange(6) >= 3, (100.0 - amount) * 110.0, 0.0),
        twap=one * 100,
        arrival=one * 101,
    )
    return reward.of(step)


def _hashed(words: list[str], arrays: list[NDArray[Any]]) -> str:
    whole = hashlib.blake2b("\n".join(words).encode(), digest_size=8)
    for array in arrays:
        _add(whole, array)
    return whole.hexdigest()


def _add(whole: Any, array: NDArray[Any]) -> None:
    whole.update(f"\n{array.shape} {array.dtype.str}\n".encode())
    whole.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
