"""Operands: what a constraint may speak of, as one table, and how each is read and compared.

    >>> holds(OPERANDS["count"], "lteq", 3, ("3",))
    True
    >>> holds(OPERANDS["region"], "isPartOf", "6210", ("62",))
    True

A row says how the operand is written, what its right operands look like, which operators make sense for it, and from
which stage on the fact is known. Sources: ODRL Information Model 2.2 and its vocabulary; the usage-control items of
TC609-6-2025-14, annex C.6 (``docs/reference/policies.md`` has the mapping).
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from hexi.canonical import parse_instant
from hexi.errors import Malformed


class Operator(StrEnum):
    """The ODRL operators, by the names the Dataspace Protocol uses."""

    EQ = "eq"
    NEQ = "neq"
    LT = "lt"
    LTEQ = "lteq"
    GT = "gt"
    GTEQ = "gteq"
    IS_A = "isA"
    IS_ANY_OF = "isAnyOf"
    IS_ALL_OF = "isAllOf"
    IS_NONE_OF = "isNoneOf"
    IS_PART_OF = "isPartOf"
    HAS_PART = "hasPart"


class Stage(StrEnum):
    """When the question is asked, in this order; it decides which facts must be known.

    TRANSFER is the start of a delivery, USE every single time something is handed over, or a permit is given out.
    """

    CATALOGUE = "catalogue"
    NEGOTIATION = "negotiation"
    TRANSFER = "transfer"
    USE = "use"


class Shape(StrEnum):
    """What a right operand looks like."""

    NAME = "a name"
    INSTANT = "an instant such as 2026-12-31T00:00:00Z"
    AMOUNT = "a whole number such as '100'"
    DURATION = "a duration in weeks, days, hours, minutes and seconds such as P30D or PT12H"
    WINDOW = "hours of the day with a zone, such as '09:00-17:00+08:00' or 'MO-FR 09:00-17:00+08:00'"
    RATE = "a number of uses per period, such as '10/PT1H'"
    REGION = "two to six digits of an administrative division, such as '62'"
    NETWORK = "an IP address or network, such as '192.0.2.0/24'"


ORDERED = frozenset({Operator.EQ, Operator.NEQ, Operator.LT, Operator.LTEQ, Operator.GT, Operator.GTEQ})
MEMBERSHIP = frozenset(Operator) - (ORDERED - {Operator.EQ, Operator.NEQ})
# Bounds from above only: "at least so many" cannot be judged before the first of them.
BOUNDS = frozenset({Operator.LT, Operator.LTEQ})
# For what lies inside something wider: a moment in a window, an address in a network, fields in a list of fields.
INSIDE = frozenset({Operator.IS_PART_OF, Operator.IS_ANY_OF, Operator.IS_NONE_OF})


@dataclass(frozen=True)
class Operand:
    """One row: `known` is the first stage at which the fact is there. `zh` and `en` name it for people."""

    name: str
    spellings: tuple[str, ...]
    shape: Shape
    operators: frozenset[Operator]
    known: Stage
    zh: str
    en: str

    @property
    def is_single(self) -> bool:
        """Whether it is compared with one value and not with a list."""
        return self.operators <= ORDERED


PURPOSE, COUNT, DATE_TIME, PARTICIPANT, MODE = "purpose", "count", "date-time", "participant", "mode"
TIME_WINDOW, ELAPSED, FREQUENCY, VOLUME, RECORDS = "time-window", "elapsed-time", "frequency", "volume", "records"
FIELD, EXPRESSION, OWNER, ROLE, REGION = "field", "value-expression", "owner", "role", "region"
CONNECTOR, NETWORK, ENVIRONMENT, ISOLATION = "connector", "network", "environment", "isolation"
ENCRYPTION, APPLICATION, ALGORITHM, MODEL, DEVICE = "encryption", "application", "algorithm", "model", "device"

# What a consumer only declares: it is signed as part of the agreement, and nobody here can see whether it is true.
DECLARED = (PURPOSE, APPLICATION, ALGORITHM, MODEL, DEVICE)

_C, _N, _T, _U = Stage.CATALOGUE, Stage.NEGOTIATION, Stage.TRANSFER, Stage.USE
_TABLE = (
    Operand(PARTICIPANT, ("participant", "assignee", "urn:hexi:participant"), Shape.NAME, MEMBERSHIP, _C,
            "参与方", "the participant"),
    Operand(OWNER, ("urn:hexi:ownerCode",), Shape.NAME, MEMBERSHIP, _C, "统一社会信用代码", "its owner code"),
    Operand(ROLE, ("urn:hexi:role",), Shape.NAME, MEMBERSHIP, _C, "参与方角色", "its roles"),
    Operand(REGION, ("spatial", "urn:hexi:region"), Shape.REGION, INSIDE | {Operator.EQ, Operator.IS_A}, _C,
            "地域", "its region"),
    Operand(CONNECTOR, ("urn:hexi:connector",), Shape.NAME, MEMBERSHIP, _C, "连接器", "its connector"),
    Operand(DATE_TIME, ("dateTime",), Shape.INSTANT, ORDERED, _C, "时间", "the time"),
    Operand(PURPOSE, ("purpose",), Shape.NAME, MEMBERSHIP, _N, "用途", "the purpose declared"),
    Operand(APPLICATION, ("urn:hexi:application",), Shape.NAME, MEMBERSHIP, _N, "应用", "the application declared"),
    Operand(ALGORITHM, ("urn:hexi:algorithm",), Shape.NAME, MEMBERSHIP, _N, "算法", "the algorithm declared"),
    Operand(MODEL, ("urn:hexi:model",), Shape.NAME, MEMBERSHIP, _N, "机器学习模型", "the model declared"),
    Operand(DEVICE, ("systemDevice", "urn:hexi:device"), Shape.NAME, MEMBERSHIP, _N, "设备", "the device declared"),
    Operand(MODE, ("urn:hexi:mode", "deliveryChannel"), Shape.NAME, MEMBERSHIP, _T, "交付方式", "the mode asked for"),
    Operand(ENVIRONMENT, ("urn:hexi:environment",), Shape.NAME, MEMBERSHIP, _T, "执行环境", "the environment"),
    Operand(ENCRYPTION, ("urn:hexi:encryption",), Shape.NAME, MEMBERSHIP, _T, "加密方式", "the form of the data"),
    Operand(ISOLATION, ("urn:hexi:isolation",), Shape.AMOUNT, ORDERED, _T, "隔离级别", "the isolation level"),
    Operand(TIME_WINDOW, ("urn:hexi:timeWindow",), Shape.WINDOW, INSIDE, _T, "时段", "the time of day"),
    Operand(ELAPSED, ("elapsedTime",), Shape.DURATION, BOUNDS, _T, "时间窗口", "the time since the agreement"),
    Operand(COUNT, ("count",), Shape.AMOUNT, BOUNDS, _T, "次数", "uses under this agreement, this one included"),
    Operand(FREQUENCY, ("urn:hexi:frequency",), Shape.RATE, BOUNDS, _U, "频率", "uses within the period"),
    Operand(VOLUME, ("urn:hexi:volume",), Shape.AMOUNT, BOUNDS, _U, "数据量", "bytes under this agreement"),
    Operand(RECORDS, ("urn:hexi:records",), Shape.AMOUNT, BOUNDS, _U, "记录数", "records under this agreement"),
    Operand(FIELD, ("urn:hexi:field",), Shape.NAME, INSIDE, _U, "数据字段", "the fields handed over"),
    Operand(EXPRESSION, ("urn:hexi:valueExpression",), Shape.NAME, frozenset({Operator.EQ, Operator.IS_ANY_OF}), _U,
            "取值表达式", "the filter applied"),
    Operand(NETWORK, ("virtualLocation", "urn:hexi:networkAddress"), Shape.NETWORK, INSIDE, _U,
            "网络地址", "the address it goes to"),
)  # fmt: skip

OPERANDS: Mapping[str, Operand] = {operand.name: operand for operand in _TABLE}
SPELLINGS: Mapping[str, str] = {spelling: operand.name for operand in _TABLE for spelling in operand.spellings}

_KNOWN: Mapping[Stage, frozenset[str]] = {
    stage: frozenset(operand.name for operand in _TABLE if operand.known in tuple(Stage)[: number + 1])
    for number, stage in enumerate(Stage)
}
_AMOUNT = re.compile(r"[0-9]{1,15}", re.ASCII)
_DURATION = re.compile(
    r"P(?=.)(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?=.)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,6})S)?)?", re.ASCII
)
_REGION = re.compile(r"[0-9]{2,6}", re.ASCII)
_WINDOW = re.compile(
    r"(?:([A-Z]{2})-([A-Z]{2}) )?([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})(Z|[+-][0-9]{2}:[0-9]{2})", re.ASCII
)
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = timedelta(days=1)


def known_at(stage: Stage) -> frozenset[str]:
    """The operands whose facts must be there at `stage`."""
    return _KNOWN[stage]


def check_right(operand: Operand, text: str) -> None:
    """Raise `Malformed` unless `text` can be a right operand of `operand`."""
    _READ[operand.shape](text)


def holds(operand: Operand, operator: str, fact: Any, right: tuple[str, ...]) -> bool:
    """Whether the known `fact` stands to `right` as `operator` says.

    A fact may be a set of names; that of a rate is how many uses there were, by period.
    """
    read = _READ[operand.shape]
    if operand.shape is Shape.RATE:
        rate = read_rate(right[0])
        return rate.period in fact and bool(_COMPARE[operator](fact[rate.period], rate.uses))
    if operator in _COMPARE and operand.is_single:
        return bool(_COMPARE[operator](fact, read(right[0])))
    facts = fact if isinstance(fact, frozenset) else frozenset({fact})
    inside = _INSIDE.get(operand.shape, eq)
    return _MATCH[operator](facts, frozenset(map(read, right)), inside)


@dataclass(frozen=True)
class Rate:
    """So many uses within any such period."""

    uses: int
    period: timedelta


@dataclass(frozen=True)
class Window:
    """Hours that come back every day, or on some days of the week. The end does not belong to it.

    One that ends before it begins runs past midnight and belongs to the day it began on.
    """

    start: timedelta
    end: timedelta
    zone: timezone
    days: frozenset[int]

    def contains(self, moment: datetime) -> bool:
        """Whether `moment` lies in it."""
        local = moment.astimezone(self.zone)
        time = timedelta(hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        today, yesterday = local.weekday() in self.days, (local.weekday() - 1) % 7 in self.days
        if self.start < self.end:
            return today and self.start <= time < self.end
        return (today and time >= self.start) or (yesterday and time < self.end)

    def next_change(self, moment: datetime) -> datetime:
        """The next moment after `moment` at which it may begin or end."""
        midnight = moment.astimezone(self.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        changes = (midnight + day * _DAY + edge for day in (0, 1) for edge in (self.start, self.end))
        return min(change for change in changes if change > moment).astimezone(UTC)


def read_window(text: str) -> Window:
    """The window in `text`. Raises `Malformed`."""
    found = _WINDOW.fullmatch(text)
    if found is None:
        raise Malformed(f"{text!r} is not {Shape.WINDOW}")
    first, last, *times, zone = found.groups()
    start_hour, start_minute, end_hour, end_minute = map(int, times)
    start, end = _time(start_hour, start_minute, text), _time(end_hour, end_minute, text)
    if start in {_DAY, end}:
        raise Malformed(f"{text!r}: a window begins before 24:00 and does not end where it begins")
    return Window(start, end, _zone(zone), _days(first, last, text))


def read_duration(text: str) -> timedelta:
    """The ISO 8601 duration in `text`; months and years are no fixed time and not taken. Raises `Malformed`."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Malformed(f"{text!r} is not {Shape.DURATION}")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)


def read_rate(text: str) -> Rate:
    """The rate in `text`. Raises `Malformed`."""
    uses, slash, period = text.partition("/")
    if not slash:
        raise Malformed(f"{text!r} is not {Shape.RATE}")
    rate = Rate(_amount(uses), read_duration(period))
    if not rate.period:
        raise Malformed(f"{text!r}: a period is longer than nothing")
    return rate


def read_amount(text: str) -> int:
    """The whole number in `text`. Raises `Malformed`."""
    return _amount(text)


def _amount(text: str) -> int:
    if not _AMOUNT.fullmatch(text):
        raise Malformed(f"{text!r} is not {Shape.AMOUNT}")
    return int(text)


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise Malformed(f"{text!r} is not {Shape.REGION}")
    return text


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise Malformed(f"{text!r} is not {Shape.NETWORK}") from error


def _in_network(address: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:  # not an address: in no network
        return False


def _time(hour: int, minute: int, text: str) -> timedelta:
    time = timedelta(hours=hour, minutes=minute)
    if minute > 59 or time > _DAY:
        raise Malformed(f"{text!r} is not {Shape.WINDOW}")
    return time


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[4:6])
    if hours > 14 or minutes > 59:
        raise Malformed(f"{text!r} is no zone")
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _days(first: str | None, last: str | None, text: str) -> frozenset[int]:
    if first is None or last is None:
        return frozenset(range(7))
    if first not in _DAYS or last not in _DAYS:
        raise Malformed(f"{text!r}: the days are {', '.join(_DAYS)}")
    start, end = _DAYS.index(first), _DAYS.index(last)
    return frozenset((start + step) % 7 for step in range((end - start) % 7 + 1))


def _name(text: str) -> str:
    return text


_READ: Mapping[Shape, Callable[[str], Any]] = {
    Shape.NAME: _name,
    Shape.INSTANT: parse_instant,
    Shape.AMOUNT: _amount,
    Shape.DURATION: read_duration,
    Shape.WINDOW: read_window,
    Shape.RATE: read_rate,
    Shape.REGION: _region,
    Shape.NETWORK: _network,
}
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    Operator.EQ: eq,
    Operator.NEQ: ne,
    Operator.LT: lt,
    Operator.LTEQ: le,
    Operator.GT: gt,
    Operator.GTEQ: ge,
}
# When a fact lies inside a right operand, where that is more than being the same.
_INSIDE: Mapping[Shape, Callable[[Any, Any], bool]] = {
    Shape.WINDOW: lambda moment, window: window.contains(moment),
    Shape.REGION: lambda region, wider: region.startswith(wider),
    Shape.NETWORK: _in_network,
}

_Inside = Callable[[Any, Any], bool]


def _some(facts: frozenset[Any], right: frozenset[Any], inside: _Inside) -> bool:
    return any(inside(fact, wanted) for fact in facts for wanted in right)


def _every(facts: frozenset[Any], right: frozenset[Any], inside: _Inside) -> bool:
    return bool(facts) and all(any(inside(fact, wanted) for wanted in right) for fact in facts)


def _none(facts: frozenset[Any], right: frozenset[Any], inside: _Inside) -> bool:
    return not _some(facts, right, inside)


def _same(facts: frozenset[Any], right: frozenset[Any], _inside: _Inside) -> bool:
    return facts == right


def _covering(facts: frozenset[Any], right: frozenset[Any], inside: _Inside) -> bool:
    return all(any(inside(fact, wanted) for fact in facts) for wanted in right)


_MATCH: Mapping[str, Callable[[frozenset[Any], frozenset[Any], _Inside], bool]] = {
    Operator.EQ: _same,
    Operator.NEQ: _none,
    Operator.IS_A: _some,
    Operator.IS_ANY_OF: _some,
    Operator.IS_PART_OF: _every,
    Operator.IS_NONE_OF: _none,
    Operator.IS_ALL_OF: _same,
    Operator.HAS_PART: _covering,
}
