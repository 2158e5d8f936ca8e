"""What a run costs, told before anybody orders: the market's word, or why there is none."""

import httpx
import pytest

from connector.management.prices import NOT_LISTED, Prices
from sandbox.preview import DryRun
from tests.connector.test_commands import Hexi, hexi
from tests.simulator import QUERY, Dataspace
from tests.test_bad_input import DECLARED, PAID

__all__ = ["hexi"]

FOUND = DryRun(product="p", version=1, lane="tables", verdict="admissible", run_time="under 1 s")
ADDRESS = "http://market.example"


def test_the_price_is_that_of_the_listing(dataspace: Dataspace, hexi: Hexi) -> None:
    product = dataspace.publish(PAID).identifier
    jobs, seller = dataspace.consumer.client.jobs, dataspace.market(dataspace.provider)
    before = jobs.dry_run(product, QUERY)
    assert (before.verdict, before.price, before.price_unknown) == ("admissible", None, NOT_LISTED)
    assert "price unknown: the product is not on sale" in hexi("dry-run", product, QUERY).stdout
    seller.certify(product, DECLARED)
    listing = seller.list_product(product, 1250).id
    found = jobs.dry_run(product, QUERY)
    assert found.price is not None
    assert (found.price.amount, found.price.currency, found.price_unknown) == (1250, "CNY", None)
    assert "12.50 CNY a run" in hexi("dry-run", product, QUERY).stdout
    order = dataspace.market(dataspace.consumer).order
    agreement = str(dataspace.agree(product).agreement)
    assert order(listing, agreement, runs=1, unit_price_fen=found.price.amount).order.unit_price_fen == 1250


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(404, {"code": "hexi.not-found", "detail": "no such path"}, id="a space without a market"),
        pytest.param(200, {"items": [{"product": "p", "unitPriceFen": -1}]}, id="less than nothing"),
        pytest.param(200, {"items": [{"product": "p", "unitPriceFen": "free"}]}, id="no number"),
        pytest.param(200, {"items": [{"product": "another", "unitPriceFen": 1}]}, id="another product"),
        pytest.param(200, [], id="another interface"),
    ],
)
def test_where_no_market_says_so_the_price_is_unknown(status: int, body: object) -> None:
    market = Prices.of_space(ADDRESS, httpx.MockTransport(lambda _: httpx.Response(status, json=body)))
    claimed = FOUND.priced(1)  # by the provider, who does not set what is ordered at
    told = market.put_into(claimed, "p")
    assert told.price is None
    assert told.price_unknown


def test_a_market_that_is_away_costs_no_dry_run() -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody", request=request)

    told = Prices.of_space(ADDRESS, httpx.MockTransport(away)).put_into(FOUND, "p")
    assert (told.verdict, told.price) == ("admissible", None)
    assert "is it running?" in str(told.price_unknown)
