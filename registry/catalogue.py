"""What a data product says about itself, in frozen values that cannot contradict themselves.

A product document is signed by its provider and published by the registry; a published version never changes. Code
lists stand in `registry.codes`; `to_dcat` says the same in the words of DCAT 3.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from hexi.canonical import Json, Wire
from hexi.errors import DataspaceError
from privacy.lattice.policy import read_policy
from registry import identifiers
from registry.codes import (
    REFUSED_SECURITY_LEVELS,
    TABULAR,
    DeliveryForm,
    Grade,
    Labelled,
    Mode,
    QualityLevel,
    Right,
    SecurityLevel,
    SourceType,
    UpdateFrequency,
)
from registry.controlled import Controlled
from registry.controlled import check as check_controlled
from registry.errors import ProductInvalid
from registry.lanes import lane_shown

TYPE: Literal["data-product"] = "data-product"
# The rights a certificate may name, after the "data twenty" (2022): holding, processing-use, product-operation.
RIGHTS_VOCABULARY = "data-twenty-2022"

# Limits of one product document: generous for people, tight for attacks. Counts, and characters of a text.
MAX_TABLES = 20
MAX_COLUMNS = 200
MAX_DOMAIN_VALUES = 1000
MAX_TEXT_CHARACTERS = 4000
MAX_RELEASED_ROWS = 100_000
# With personal data no released cell may stand on fewer entities than this, whatever the provider wishes.
PERSONAL_ENTITIES_FLOOR = 5

Code = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")]
Value = str | bool | int | float


class Datatype(StrEnum):
    """What stands in a column."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"


class ColumnRole(StrEnum):
    """What a column is for. A hidden one exists but cannot be named in a query."""

    ENTITY_KEY = "entity-key"
    DIMENSION = "dimension"
    MEASURE = "measure"
    HIDDEN = "hidden"


class _Part(Wire):
    model_config = ConfigDict(allow_inf_nan=False)


class Text(_Part):
    """The same in Chinese and in English."""

    zh: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)
    en: str = Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)


class Column(_Part):
    """One column: its name in queries, what stands in it, and what it may be used for."""

    name: Name
    title: Text
    datatype: Datatype
    role: ColumnRole
    domain: tuple[Value, ...] | None = Field(default=None, min_length=1, max_length=MAX_DOMAIN_VALUES)
    range: tuple[float, float] | None = None
    unit: Code | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for value in self.domain or ():
            if not _fits(value, self.datatype):
                raise ValueError(f"column {self.name}: {value!r} in the domain is not a {self.datatype}")
        if self.domain and len({(type(v), v) for v in self.domain}) != len(self.domain):
            raise ValueError(f"column {self.name}: a value stands in the domain twice")
        if self.range and self.datatype not in {Datatype.INTEGER, Datatype.NUMBER}:
            raise ValueError(f"column {self.name}: a {self.datatype} has no range")
        if self.range and self.range[0] > self.range[1]:
            raise ValueError(f"column {self.name}: the range ends before it begins")
        return self


class Table(_Part):
    """One table as queries see it. `entity_key` names the column that says whose row it is."""

    name: Name
    title: Text
    entity_key: Name | None = None
    columns: tuple[Column, ...] = Field(min_length=1, max_length=MAX_COLUMNS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("column", [column.name for column in self.columns])
        keys = [column.name for column in self.columns if column.role is ColumnRole.ENTITY_KEY]
        if keys != ([self.entity_key] if self.entity_key else []):
            raise ValueError(f"table {self.name}: entityKey is {self.entity_key!r}, the entity-key columns are {keys}")
        return self

    def column(self, name: str) -> Column | None:
        """The column called `name` (as SQL does, without regard to case), or None."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)


class HumanReview(_Part):
    """How people of the provider decide over outputs: how many different ones must agree, and within how many days."""

    reviewers: int = Field(default=1, ge=1, le=2)
    days: int = Field(default=14, ge=1, le=90)


class Disclosure(_Part):
    """What the provider demands of every result: least entities behind a cell, rounding, isolation, most rows."""

    minimum_entities: int = Field(default=10, ge=1)
    rounding: int = Field(default=5, ge=1)
    minimum_isolation: int = Field(default=2, ge=0, le=3)
    maximum_rows: int = Field(default=5000, ge=1, le=MAX_RELEASED_ROWS)
    # Whether sums that one or two entities dominate are withheld as well.
    dominance: bool = False
    # How outputs that people must see are reviewed (programs always; other runs where their lane says so).
    review: HumanReview | None = None
    # Whether programs must be accepted algorithms (`sandbox.algorithms`); left out means any program may be tried.
    algorithms_only: bool | None = None


Share = Annotated[float, Field(ge=0, le=1)]


class Quality(_Part):
    """The six dimensions of GB/T 36344-2018, each as a share of what was checked."""

    normativity: Share
    completeness: Share
    accuracy: Share
    consistency: Share
    timeliness: Share
    accessibility: Share
    assessed_at: date


class Content(_Part):
    """What is delivered whole, where a mode delivers it. `bytes` is left out where it is not known beforehand."""

    media_type: str = Field(pattern=r"^[^\s/]+/[^\s/]+$", max_length=127)
    bytes: int | None = Field(default=None, ge=0)


class Classification(_Part):
    """Grade after GB/T 43697-2024; `level` divides general data from 1 to 4; `scheme` names the rules applied."""

    grade: Grade
    level: int = Field(ge=1, le=4)
    scheme: Code


class Temporal(_Part):
    """The days the data cover, both included."""

    start: date
    end: date

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start > self.end:
            raise ValueError("the period ends before it begins")
        return self


class Product(_Part):
    """A data product in one version. `document()` gives the JSON to sign; `read_product` reads it back."""

    type: Literal["data-product"] = TYPE
    identifier: str
    version: int = Field(ge=1)
    provider: str
    parties: tuple[str]
    title: Text
    description: Text
    keywords: tuple[Code, ...] = Field(default=(), max_length=50)
    theme: str = Field(pattern=r"^[A-D][0-9]{4}$")
    scenario: str | None = Field(default=None, pattern=r"^[S-V][0-9]{4}$")
    # GB/T 4754: 00 and the division, or the four figures of a class.
    industry: str = Field(pattern=r"^[0-9]{4}$")
    region: str = Field(pattern=r"^[0-9]{4}$")
    delivery_form: DeliveryForm
    update_frequency: UpdateFrequency
    security_level: SecurityLevel
    quality_level: QualityLevel
    source_type: SourceType
    has_personal_information: bool
    classification: Classification
    temporal: Temporal
    rows: int = Field(ge=0)
    entities: int = Field(ge=0)
    tables: tuple[Table, ...] = Field(default=(), max_length=MAX_TABLES)
    content: Content | None = None
    quality: Quality
    rights: tuple[Right, ...] = ()
    evidence: Mapping[Code, Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARACTERS)]]
    modes: tuple[Mode, ...] = Field(min_length=1)
    disclosure: Disclosure = Disclosure()
    # Where it is there, every answer comes from a planned noisy cube and never from the table (`privacy.lattice`).
    lattice: Mapping[str, Any] | None = None
    # Where it is there, questions are SQL over the tables under this policy: no persons, or analysts known by name.
    controlled: Controlled | None = None
    policy: Mapping[str, Any]

    @field_validator("identifier")
    @classmethod
    def _is_a_product_code(cls, value: str) -> str:
        try:
            if identifiers.check(value, identifiers.Kind.PRODUCT).text != value:
                raise ValueError(f"write the extension after '{identifiers.SEPARATOR}'")
        except DataspaceError as error:
            raise ValueError(error.detail) from error
        return value

    @field_validator("evidence")
    @classmethod
    def _says_where_from(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        if missing := {"source", "authorisation"} - value.keys():
            raise ValueError(f"evidence lacks {' and '.join(sorted(missing))}")
        return value

    @field_validator("lattice")
    @classmethod
    def _is_a_lattice_policy(cls, value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        try:
            return None if value is None else read_policy(value).document()
        except DataspaceError as error:
            raise ValueError(error.detail) from error

    @field_validator("security_level")
    @classmethod
    def _is_no_state_secret(cls, value: SecurityLevel) -> SecurityLevel:
        if value in REFUSED_SECURITY_LEVELS:
            raise ValueError(f"security level {value} ({value.zh}) belongs to state secrets and is refused here")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.parties != (self.provider,):
            raise ValueError("the one party to a product is its provider")
        if self.classification.grade is Grade.CORE:
            raise ValueError("core data (核心数据, GB/T 43697) may not be offered")
        _unique("table", [table.name for table in self.tables])
        _unique("mode", self.modes)
        _unique("right", self.rights)
        if not self.tables and (tabular := TABULAR.intersection(self.modes)):
            raise ValueError(f"a product in the mode {', '.join(sorted(tabular))} describes its tables")
        if Mode.FILE in self.modes and self.content is None:
            raise ValueError("a product that is delivered as a file says what is delivered (content)")
        if self.lattice is not None and self.controlled is not None:
            raise ValueError("a product is answered from its lattice or in the controlled lane, not in both")
        if self.controlled is not None:
            check_controlled(self.controlled, self.tables, personal=self.has_personal_information)
        if self.has_personal_information:
            self._check_personal()
        return self

    def _check_personal(self) -> None:
        # Disclosure is controlled on people, not rows: without a key nobody can count them.
        if bare := [table.name for table in self.tables if table.entity_key is None]:
            raise ValueError(f"with personal information every table needs an entityKey; {', '.join(bare)} has none")
        if self.disclosure.minimum_entities < PERSONAL_ENTITIES_FLOOR:
            raise ValueError(f"with personal information minimumEntities is at least {PERSONAL_ENTITIES_FLOOR}")

    @property
    def offer_id(self) -> str:
        """The id of the offer for this version."""
        return f"{self.identifier}#v{self.version}"

    def table(self, name: str) -> Table | None:
        """The table called `name` (as SQL does, without regard to case), or None."""
        return next((table for table in self.tables if table.name.lower() == name.lower()), None)

    def document(self) -> dict[str, Json]:
        """The JSON form: what is signed, digested and stored."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def read_product(document: Json) -> Product:
    """The product that `document` describes. Raises `ProductInvalid`, whose context `errors` says where and why."""
    try:
        return Product.model_validate(document)
    except ValidationError as error:
        wrong = [{"where": ".".join(map(str, e["loc"])), "why": e["msg"]} for e in error.errors()]
        said = "; ".join(f"{w['where'] or 'product'}: {w['why']}" for w in wrong[:3])
        raise ProductInvalid(said, errors=wrong) from error


def to_dcat(product: Product) -> dict[str, Json]:
    """`product` as a dcat:Dataset of DCAT 3, in the plain JSON that the DSP catalogue uses."""
    return {
        "@type": "dcat:Dataset",
        "@id": product.identifier,
        "dct:identifier": product.identifier,
        "dcat:version": str(product.version),
        "dct:title": _both(product.title),
        "dct:description": _both(product.description),
        "dct:publisher": {"@id": product.provider},
        "dcat:keyword": list(product.keywords),
        "dcat:theme": [{"@id": f"urn:hexi:theme:{product.theme}"}],
        "dct:spatial": {"@id": f"urn:hexi:region:{product.region}"},
        "dct:temporal": {
            "@type": "dct:PeriodOfTime",
            "dcat:startDate": product.temporal.start.isoformat(),
            "dcat:endDate": product.temporal.end.isoformat(),
        },
        "dct:accrualPeriodicity": _coded(product.update_frequency),
        "dct:accessRights": _coded(product.security_level),
        "dct:type": _coded(product.delivery_form),
        "dct:provenance": {"@type": "dct:ProvenanceStatement", "rdfs:label": product.evidence["source"]},
        "dqv:hasQualityMeasurement": _measurements(product.quality),
        "dcat:distribution": [
            {"@type": "dcat:Distribution", "dct:format": str(mode), "dct:title": {"zh": mode.zh, "en": mode.en}}
            | (_content(product.content) if mode is Mode.FILE and product.content else {})
            | _lane(product, mode)
            for mode in product.modes
        ],
    }


def _lane(product: Product, mode: Mode) -> dict[str, Json]:
    lane = lane_shown(product, mode)
    return {} if lane is None else {"dct:conformsTo": {"@id": lane}}


def _content(content: Content) -> dict[str, Json]:
    size: dict[str, Json] = {} if content.bytes is None else {"dcat:byteSize": content.bytes}
    return {"dcat:mediaType": content.media_type, **size}


def _fits(value: Value, datatype: Datatype) -> bool:
    # bool is an int to Python, not to us.
    match datatype:
        case Datatype.BOOLEAN:
            return isinstance(value, bool)
        case Datatype.INTEGER:
            return isinstance(value, int) and not isinstance(value, bool)
        case Datatype.NUMBER:
            return isinstance(value, int | float) and not isinstance(value, bool)
        case Datatype.DATE:
            return isinstance(value, str) and _is_date(value)
        case Datatype.STRING:
            return isinstance(value, str)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _unique(what: str, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen:
            raise ValueError(f"the {what} {name!r} appears twice")
        seen.add(name.lower())


def _both(text: Text) -> list[dict[str, str]]:
    return [{"@language": "zh", "@value": text.zh}, {"@language": "en", "@value": text.en}]


def _coded(member: Labelled) -> dict[str, Json]:
    return {
        "@type": "skos:Concept",
        "skos:notation": str(member),
        "skos:prefLabel": [{"@language": "zh", "@value": member.zh}, {"@language": "en", "@value": member.en}],
    }


def _measurements(quality: Quality) -> list[dict[str, Json]]:
    return [
        {"@type": "dqv:QualityMeasurement", "dqv:isMeasurementOf": f"urn:hexi:quality:{name}", "dqv:value": value}
        for name, value in quality.model_dump(by_alias=True, exclude={"assessed_at"}).items()
    ]
