"""JSON that somebody changed: values of other types, numbers out of range, keys lost, doubled or called otherwise."""

import copy
import random
from typing import Any

LONG = "x" * 2000
DEEP: Any = []
for _ in range(300):
    DEEP = [DEEP]
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, -1e308, 1e-320,
    float("nan"), float("inf"), float("-inf"), "", "x", "\0", "a\nb", "\u202e", "<b>x</b>", "${1}", LONG, "1e9", "0",
    "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59", "2026-11-29", "2026-11-29T00:00:00", 1e18, [], {},
    [[]], [None], ["x"], [1e308], {"": ""}, {"kind": ["map"]}, [{}] * 5, DEEP, "CON", "../../x", "sample", "map",
    "vector", "random", "broken",
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    if len(at) == 12:
        return [at]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, one in inner for place in places(one, (*at, key)))]


def changed(value: Any, chance: random.Random, times: int | None = None) -> Any:
    """A copy with one to five things changed."""
    value = copy.deepcopy(value)
    for _ in range(times or chance.choice((1, 2, 3, 4, 5))):
        where = chance.choice(places(value)[1:] or [()])
        if not where:
            return copy.deepcopy(chance.choice(VALUES))
        holder = value
        for key in where[:-1]:
            holder = holder[key]
        _change(holder, where[-1], chance)
    return value


def _change(holder: Any, key: Any, chance: random.Random) -> None:
    how = chance.randrange(11)
    old = holder[key]
    if how < 6:
        holder[key] = copy.deepcopy(chance.choice(VALUES))
    elif how == 6 and isinstance(holder, dict):
        del holder[key]
    elif how == 6:
        holder.append(copy.deepcopy(old))
    elif how == 7 and isinstance(holder, dict):
        holder[chance.choice(("x", key + "s", key.upper(), ""))] = holder.pop(key)
    elif how == 7:
        del holder[key]
    elif how == 8:
        holder[key] = [old] if chance.random() < 0.5 else {"x": old}
    elif how == 9 and isinstance(old, bool | int | float) and abs(old) < 2**70:
        holder[key] = chance.choice((str(old), old * 10**6, -old, old + 0.5, float(old), [old]))
    elif how == 9 and isinstance(old, str):
        holder[key] = chance.choice((old * 40, old[: len(old) // 2], [*old][:20], old + "\0", old.upper()))
    else:  # the value that stands somewhere else beside it
        others = [*holder.values()] if isinstance(holder, dict) else holder
        holder[key] = copy.deepcopy(chance.choice(others))
