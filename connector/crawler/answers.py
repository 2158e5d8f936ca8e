"""What the management API is asked and answers about the federated catalogue."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from connector.crawler.states import PeerState
from connector.management.answers import INSTANT, PRODUCT, PROVIDER, Answer
from connector.management.messages import Name
from connector.management.peer_messages import OFFER, Address
from hexi.canonical import Wire

# Datasets on a page, at most: each may be 64 KiB of somebody else's.
MAX_FOUND = 200
# The longest cursor: it holds the whole question.
MAX_CURSOR_CHARACTERS = 20_000


class SearchDatasets(Wire):
    """Search what other participants offer. `filter` is as for a catalogue of ours: properties, or a QuerySpec."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filter": {"text": "visits"}, "facets": True}]})

    filter: Any = Field(
        default=None, description="id, title, keyword, theme, provider, text; or a QuerySpec. 查询条件。"
    )
    limit: int | None = Field(
        default=None,
        ge=1,
        le=MAX_FOUND,
        description="Datasets on the page; null: as the question says, or 50. 每页条数。",
    )
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARACTERS)] | None = Field(
        default=None, description="The `next` of the page before; it holds the question too. 上一页的 next。"
    )
    facets: bool = Field(default=False, description="Count what matches by provider, theme and keyword. 分面统计。")


class AddCrawledPeer(Wire):
    """Crawl a participant's catalogue."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"participant": PROVIDER}]})

    participant: Name = Field(description="Its DID. 参与方标识。")
    address: Address | None = Field(default=None, description="Of its protocol endpoint; null: the registry's. 地址。")


class CrawlNow(Wire):
    """Crawl at once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"participant": PROVIDER}]})

    participant: Name | None = Field(default=None, description="One peer's DID; null: all of them. 参与方标识。")


class FoundDataset(Answer):
    """A dataset of another participant. `offers` are ready to be negotiated; `dataset` is as its owner wrote it."""

    provider: str
    id: str
    title: str = Field(description="In one line, without what is not printed; the id if it has none. 标题。")
    formats: tuple[str, ...]
    offers: tuple[dict[str, Any], ...]
    changed: str = Field(description="When a crawl found it so first. 发现时间。")
    dataset: dict[str, Any]


class FacetValue(Answer):
    """How many datasets have a value."""

    value: str
    count: int


class FoundDatasets(Answer):
    """A page of what was found, in the order of discovery. 联邦目录检索结果。"""

    model_config = ConfigDict(
        extra="ignore",
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "provider": PROVIDER,
                            "id": PRODUCT,
                            "title": "门诊 / Visits",
                            "formats": ["HttpData-PULL"],
                            "offers": [OFFER],
                            "changed": INSTANT,
                            "dataset": {"@id": PRODUCT, "@type": "Dataset"},
                        }
                    ],
                    "next": None,
                    "facets": {"provider": [{"value": PROVIDER, "count": 1}]},
                    "incomplete": [],
                }
            ]
        },
    )

    items: tuple[FoundDataset, ...]
    next: str | None = Field(default=None, description="The cursor of the next page; null at the end.")
    facets: dict[str, tuple[FacetValue, ...]] | None = Field(
        default=None, description="The most frequent values of each property, if they were asked for."
    )
    incomplete: tuple[str, ...] = Field(
        description="Peers whose catalogue was never read to its end: there may be more. 尚未采集完的参与方。"
    )


class CrawlReason(Answer):
    """Why the last attempt failed."""

    code: str
    message: str
    at: str


class CrawlProgress(Answer):
    """A crawl under way."""

    began: str
    pages: int
    datasets: int


def _shown(**more: Any) -> ConfigDict:
    example = {
        "participant": PROVIDER,
        "address": None,
        "byHand": False,
        "member": True,
        "state": "backing-off",
        "datasets": 120,
        "due": "2026-11-23T08:02:10.000Z",
        "failures": 3,
        "reason": {"code": "hexi.unreachable", "message": "nobody answered in time (ConnectTimeout)", "at": INSTANT},
        "checked": "2026-11-23T07:40:00.000Z",
        "completed": "2026-11-22T09:00:00.000Z",
        "progress": None,
        "leftOut": 0,
        "leftOutWhy": None,
        **more,
    }
    return ConfigDict(extra="ignore", json_schema_extra={"examples": [example]})


class CrawledPeer(Answer):
    """A participant whose catalogue is crawled, and how that stands. 采集对象。"""

    model_config = _shown()

    participant: str
    address: str | None = Field(description="Given by hand; null where the registry's is used.")
    by_hand: bool
    member: bool = Field(description="The registry lists it as a provider.")
    state: PeerState = Field(
        description="idle; crawling; backing-off after a failure; gone: no participant any more. 状态。"
    )
    datasets: int = Field(description="How many of its datasets are found here.")
    due: str | None = Field(description="When it is asked next; null: not by itself.")
    failures: int = Field(description="Attempts that failed since the last success.")
    reason: CrawlReason | None = Field(description="What the last attempt met, where it failed. 失败原因。")
    checked: str | None = Field(description="When what is shown here was last known to be what it shows.")
    completed: str | None = Field(description="When its catalogue was last read to its end; null: never yet.")
    progress: CrawlProgress | None
    left_out: int = Field(description="Datasets of the last whole crawl that could not be taken.")
    left_out_why: str | None = Field(description="Why the first of them could not.")
