"""No fen is lost and none appears."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace import settlement
from marketplace.errors import PostingsUnbalanced, SplitInvalid
from marketplace.settlement import Posting, Share, balanced, check_split, claim, payment, shares, split

FEN = st.integers(0, 10**15)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, int]:
    cuts = sorted(draw(st.lists(st.integers(0, settlement.WHOLE), min_size=0, max_size=5)))
    points = [b - a for a, b in zip([0, *cuts], [*cuts, settlement.WHOLE], strict=True)]
    return {"provider" if n == 0 else f"share-{n}": p for n, p in enumerate(points)}


@given(FEN, rules())
def test_the_shares_are_the_whole(fen: int, rule: dict[str, int]) -> None:
    assert sum(split(fen, rule).values()) == fen


@given(FEN, rules())
def test_nobody_is_a_fen_off_what_is_due(fen: int, rule: dict[str, int]) -> None:
    for name, got in split(fen, rule).items():
        assert abs(got * settlement.WHOLE - fen * rule[name]) < settlement.WHOLE


@given(st.lists(st.tuples(FEN, st.sampled_from(["a", "b", "c"])), max_size=6), rules())
def test_a_settlement_balances(paid: list[tuple[int, str]], rule: dict[str, int]) -> None:
    lines = [{"order": f"o{n}", "provider": who, "amountFen": fen} for n, (fen, who) in enumerate(paid)]
    divided = shares(lines, rule)
    total = sum(fen for fen, _ in paid)
    assert sum(share.fen for share in divided) == total
    assert sum(posting.fen for posting in payment("c", total, divided)) == 0


@pytest.mark.parametrize(
    ("fen", "wanted"),
    [
        (0, {"provider": 0, "platform": 0, "fund": 0}),
        (1, {"provider": 1, "platform": 0, "fund": 0}),
        (10, {"provider": 9, "platform": 1, "fund": 0}),
        (100, {"provider": 85, "platform": 10, "fund": 5}),
        (101, {"provider": 86, "platform": 10, "fund": 5}),
    ],
)
def test_the_largest_remainder_gets_the_fen_left_over(fen: int, wanted: dict[str, int]) -> None:
    assert split(fen, settlement.DEFAULT_SPLIT) == wanted


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"platform": 10_000},
        {"provider": 9_999},
        {"provider": 10_001},
        {"provider": 10_500, "fund": -500},
        {"provider": True, "fund": 9_999},
    ],
    ids=["empty", "no-provider", "too-little", "too-much", "negative", "a-bool"],
)
def test_a_rule_that_is_no_whole_is_refused(rule: dict[str, int]) -> None:
    with pytest.raises(SplitInvalid):
        check_split(rule)
    with pytest.raises(SplitInvalid):
        split(100, rule)


def test_a_negative_amount_is_not_divided() -> None:
    with pytest.raises(SplitInvalid):
        split(-1, settlement.DEFAULT_SPLIT)


@pytest.mark.parametrize("postings", [[], [Posting("a", 1)], [Posting("a", 2), Posting("b", -1)]])
def test_postings_that_do_not_balance_are_refused(postings: list[Posting]) -> None:
    with pytest.raises(PostingsUnbalanced):
        balanced(postings)


def test_what_was_claimed_is_gone_once_it_is_paid() -> None:
    journals = [*claim("c", 100), *payment("c", 100, [Share("o", "payable:p", 90), Share("o", "payable:fund", 10)])]
    balances = {p.account: sum(q.fen for q in journals if q.account == p.account) for p in journals}
    assert balances == {"receivable:c": 0, "undivided": 0, "bank": 100, "payable:p": -90, "payable:fund": -10}


def test_a_payment_whose_shares_are_not_the_whole_is_refused() -> None:
    with pytest.raises(PostingsUnbalanced):
        payment("c", 100, [Share("o", "payable:p", 99)])
