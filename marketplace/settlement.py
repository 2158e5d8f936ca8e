"""The books: double entry in whole fen, and the splitting of what was paid. Pure.

A posting adds to an account (debit, positive) or takes from it (credit, negative); the postings of one journal sum to
zero. A statement makes a claim (``receivable``) against money not yet divided (``undivided``); a settlement records the
payment (``bank``) and divides it, line by line, by basis points with the largest remainder, so that no fen is lost and
none appears.

    >>> split(101, {"provider": 8500, "platform": 1000, "fund": 500})
    {'provider': 86, 'platform': 10, 'fund': 5}
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hexi.canonical import Json
from marketplace.errors import PostingsUnbalanced, SplitInvalid

# The whole, in basis points.
WHOLE = 10_000
# The share every split rule must have, paid to the provider of the line's product.
PROVIDER = "provider"
PLATFORM = "platform"
FUND = "fund"
# Revenue sharing between provider, platform and a common fund (requirements R84: 数字共富基金). A space sets its own.
DEFAULT_SPLIT: Mapping[str, int] = {PROVIDER: 8500, PLATFORM: 1000, FUND: 500}

BANK = "bank"
UNDIVIDED = "undivided"


@dataclass(frozen=True)
class Posting:
    """`fen` into `account` (positive, debit) or out of it (negative, credit)."""

    account: str
    fen: int


def receivable(consumer: str) -> str:
    """The account of what `consumer` owes."""
    return f"receivable:{consumer}"


def payable(share: str, provider: str) -> str:
    """The account of what is owed to the holder of `share`: the provider in person, or a common one."""
    return f"payable:{provider}" if share == PROVIDER else f"payable:{share}"


def check_split(rule: Mapping[str, int]) -> None:
    """Raise `SplitInvalid` unless the shares are whole, not negative, include the provider's, and make the whole."""
    if PROVIDER not in rule:
        raise SplitInvalid("the split rule gives nothing to the provider")
    if any(isinstance(points, bool) or not isinstance(points, int) or points < 0 for points in rule.values()):
        raise SplitInvalid("shares are whole basis points, none of them negative")
    if (total := sum(rule.values())) != WHOLE:
        raise SplitInvalid(f"the shares make {total} basis points; they must make {WHOLE}")


def split(fen: int, rule: Mapping[str, int]) -> dict[str, int]:
    """`fen` divided by `rule`; the fen left over by rounding down go to the largest remainders, earlier names first.

    Raises `SplitInvalid` for a rule that does not make a whole, or an amount below zero.
    """
    check_split(rule)
    if fen < 0:
        raise SplitInvalid("only what was paid can be divided")
    shares = {name: fen * points // WHOLE for name, points in rule.items()}
    left = fen - sum(shares.values())
    # `sorted` is stable, so that equal remainders are served in the order of the rule.
    by_remainder = sorted(rule, key=lambda name: -(fen * rule[name] % WHOLE))
    for name in by_remainder[:left]:
        shares[name] += 1
    return shares


def claim(consumer: str, total_fen: int) -> tuple[Posting, ...]:
    """The journal of a statement: the consumer owes, and the money is not divided yet."""
    return balanced([Posting(receivable(consumer), total_fen), Posting(UNDIVIDED, -total_fen)])


@dataclass(frozen=True)
class Share:
    """What one line of a statement gives to one account."""

    order: str
    account: str
    fen: int


def shares(lines: Sequence[Json], rule: Mapping[str, int]) -> tuple[Share, ...]:
    """Every statement line divided by `rule`. Raises `SplitInvalid`."""
    return tuple(
        Share(line["order"], payable(name, line["provider"]), fen)
        for line in lines
        for name, fen in split(line["amountFen"], rule).items()
    )


def payment(consumer: str, total_fen: int, divided: Iterable[Share]) -> tuple[Posting, ...]:
    """The journal of a settlement: the money is in the bank, the claim is gone, and everybody has a share."""
    owed: Counter[str] = Counter()
    for share in divided:
        owed[share.account] += share.fen
    return balanced(
        [
            Posting(BANK, total_fen),
            Posting(receivable(consumer), -total_fen),
            Posting(UNDIVIDED, total_fen),
            *(Posting(account, -fen) for account, fen in owed.items()),
        ]
    )


def balanced(postings: Sequence[Posting]) -> tuple[Posting, ...]:
    """`postings` if they sum to zero, and there are any. Raises `PostingsUnbalanced`."""
    if not postings or (total := sum(posting.fen for posting in postings)):
        raise PostingsUnbalanced(f"the postings sum to {total if postings else 'nothing'}, not to zero")
    return tuple(postings)
