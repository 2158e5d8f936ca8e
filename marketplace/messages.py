"""What crosses the wire under ``/market``. Keys are camelCase; what is not named here is refused."""

from typing import Any

from pydantic import Field

from hexi.canonical import Wire
from marketplace.listings import Event, Listing, Title
from marketplace.orders import Order, confirmation
from marketplace.pricing import MAX_RUNS, MAX_UNIT_PRICE_FEN
from marketplace.store import Certificate

# Identifiers of ours are URNs; this is a limit against filling the database, not a format.
MAX_ID = 200
MAX_TEXT = 4000
MAX_EVIDENCE = 2000

_Evidence = Field("", max_length=MAX_EVIDENCE)


class Message(Wire):
    """Camel case outside, frozen inside."""


class Declarations(Message):
    """What a provider declares as evidence; meanings are in `marketplace.compliance.EVIDENCE`."""

    source: str = _Evidence
    authorisation: str = _Evidence
    disputes: str = _Evidence
    prohibited_content_scan: str = _Evidence
    business_qualification: str = _Evidence
    personal_information_assessment: str = _Evidence
    important_data_assessment: str = _Evidence
    cross_border: str = _Evidence
    public_data_code: str = _Evidence

    def declared(self) -> dict[str, str]:
        """What is declared, by its name on the wire."""
        return self.model_dump(by_alias=True, exclude_defaults=True)


class CertificateRequest(Message):
    """Certify the newest version of a product."""

    product: str = Field(max_length=MAX_ID)
    declarations: Declarations = Declarations()


class CertificateAnswer(Message):
    """A certificate as signed, why it was given, its place in the log, and whether the chain was told yet."""

    number: str
    certificate: dict[str, Any]
    report: dict[str, Any]
    log_index: int
    on_chain: bool

    @classmethod
    def of(cls, certificate: Certificate, *, on_chain: bool) -> "CertificateAnswer":
        """`certificate` for the wire."""
        return cls(
            number=certificate.number,
            certificate=certificate.signed.to_json(),
            report=certificate.report,
            log_index=certificate.log_index,
            on_chain=on_chain,
        )


class Text(Message):
    """A text in both languages."""

    zh: str = Field(max_length=MAX_TEXT)
    en: str = Field(max_length=MAX_TEXT)


class ListingRequest(Message):
    """Put a product on sale, or only prepare that."""

    product: str = Field(max_length=MAX_ID)
    unit_price_fen: int = Field(ge=0, le=MAX_UNIT_PRICE_FEN, strict=True)
    terms: Text = Text(zh="按次计费", en="Charged by the run")
    draft: bool = False

    def title(self) -> Title:
        """The terms as the inside knows them."""
        return Title(self.terms.zh, self.terms.en)


class PriceRequest(Message):
    """Another price for what is ordered from now on."""

    unit_price_fen: int = Field(ge=0, le=MAX_UNIT_PRICE_FEN, strict=True)


class ListingEvent(Message):
    """One step in a listing's history."""

    number: int
    step: str
    state: str
    unit_price_fen: int
    by: str
    at: str


class ListingAnswer(Message):
    """A listing as it stands. `history` is there when one listing is asked for."""

    id: str
    product: str
    version: int
    provider: str
    certificate: str
    title: Text
    terms: Text
    unit_price_fen: int
    state: str
    created: str
    history: tuple[ListingEvent, ...] = ()

    @classmethod
    def of(cls, listing: Listing, history: list[Event] | None = None) -> "ListingAnswer":
        """`listing` for the wire."""
        return cls(
            id=listing.id,
            product=listing.product,
            version=listing.version,
            provider=listing.provider,
            certificate=listing.certificate,
            title=Text(zh=listing.title.zh, en=listing.title.en),
            terms=Text(zh=listing.terms.zh, en=listing.terms.en),
            unit_price_fen=listing.unit_price_fen,
            state=str(listing.state),
            created=listing.created,
            history=tuple(
                ListingEvent(
                    number=e.number, step=e.step, state=e.state, unit_price_fen=e.unit_price_fen, by=e.by, at=e.at
                )
                for e in history or []
            ),
        )


class ListingsAnswer(Message):
    """A page of listings on sale; go on with ``after`` = the last id while it is full."""

    items: list[ListingAnswer]


class OrderRequest(Message):
    """Order runs at the price seen. With an `id` of one's own the request may be repeated without ordering twice."""

    id: str | None = Field(None, pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    listing: str = Field(max_length=MAX_ID)
    agreement: str = Field(max_length=MAX_ID)
    runs: int = Field(ge=1, le=MAX_RUNS, strict=True)
    unit_price_fen: int = Field(ge=0, le=MAX_UNIT_PRICE_FEN, strict=True)


class OrderState(Message):
    """An order and how far it is used."""

    id: str
    listing: str
    product: str
    agreement: str
    consumer: str
    provider: str
    unit_price_fen: int
    runs: int
    placed_at: str
    expires: str
    state: str
    used: int


class OrderAnswer(Message):
    """An order with the confirmation to show to the provider."""

    order: OrderState
    confirmation: str

    @classmethod
    def of(cls, order: Order) -> "OrderAnswer":
        """`order` for the wire."""
        said = {name: value for name, value in confirmation(order).items() if name != "type"}
        return cls(
            order=OrderState.model_validate(said | {"state": str(order.state), "used": order.used}),
            confirmation=order.confirmation,
        )


class OrdersAnswer(Message):
    """A page of the caller's orders; go on with ``after`` = the last id while it is full."""

    items: list[OrderAnswer]


class StatementRequest(Message):
    """State what a consumer owes, up to an instant (now). With an `id` the request may be repeated."""

    id: str | None = Field(None, pattern=r"^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
    consumer: str | None = Field(None, max_length=MAX_ID)
    until: str | None = Field(None, max_length=40)


class SettlementRequest(Message):
    """The payment of this statement has arrived."""

    statement: str = Field(max_length=MAX_ID)


class AccountsAnswer(Message):
    """Balances in fen: debit positive, credit negative; all of them together are zero."""

    accounts: dict[str, int]


class AnomaliesAnswer(Message):
    """Logged runs that were not charged."""

    items: list[dict[str, Any]]
