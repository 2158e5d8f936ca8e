"""What was used last, kept in memory: a bounded number of values, the least recently used going first.

>>> kept = Recent[str, int](2)
>>> for name, number in (("a", 1), ("b", 2)):
...     kept.put(name, number)
>>> kept.get("a")
1
>>> kept.put("c", 3)
>>> kept.get("a"), kept.get("b"), kept.get("c")
(1, None, 3)
"""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """At most `most` values. Any thread may ask; what makes a value is the caller's, and happens outside the lock."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Key) -> Value | None:
        """The value, which is now the one used last; None if it is not there, or no more."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep the value, as the one used last."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self._most:
                self._values.popitem(last=False)
