"""One range of bytes, as a request may ask for it (RFC 9110, section 14). Pure.

Several ranges at once are refused, as the RFC allows: nobody who downloads needs them, and many small overlapping ones
are a known attack.
"""

import re

from hexi.errors import DataspaceError

_RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{1,18})?|-(\d{1,18}))")


class RangeRefused(DataspaceError):
    """A range that the content does not have, or several at once."""

    code = "connector.range-refused"
    status = 416
    title = "This range cannot be served"


def read_range(header: str, size: int) -> tuple[int, int]:
    """Offset and length of the range asked for, out of `size` bytes. Raises `RangeRefused`."""
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        raise RangeRefused("ask for one range at a time, such as bytes=1048576-", size=size)
    first, last, suffix = found.groups()
    if suffix is not None:
        length = min(int(suffix), size)
        start, end = size - length, size
    else:
        start, end = int(first), min(int(last) + 1 if last is not None else size, size)
    if start >= end:
        raise RangeRefused(f"the content has {size} bytes", size=size)
    return start, end - start
