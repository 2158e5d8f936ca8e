"""A product document is accepted when it agrees with itself, and refused, with the place named, when it does not."""

from typing import Any

import pytest

from hexi.canonical import digest, encode, parse
from registry.catalogue import Product, read_product, to_dcat
from registry.codes import CODE_LISTS, SecurityLevel, Theme, label_of
from registry.errors import ProductInvalid
from tests.registry.builders import HOSPITAL, PLANNER, PRODUCT, column, product_document


def with_columns(*columns: dict[str, Any], entity_key: str | None = "person") -> dict[str, Any]:
    table = {"name": "claims", "title": {"zh": "结算", "en": "Claims"}, "columns": list(columns)}
    return {"tables": [{**table, "entityKey": entity_key} if entity_key else table]}


KEY = column("person", role="entity-key")


def test_a_product_survives_the_wire_with_the_same_digest() -> None:
    document = product_document()
    product = read_product(document)
    assert digest(product.document()) == digest(document)
    assert read_product(parse(encode(product.document()))) == product
    assert product.offer_id == f"{PRODUCT}#v1"


def test_tables_and_columns_are_found_as_sql_names_are() -> None:
    table = read_product(product_document()).table("CLAIMS")
    assert table is not None
    assert table.entity_key == "person"
    assert table.column("Sex") is not None
    assert table.column("nobody") is None
    assert read_product(product_document()).table("other") is None


ACCEPTED: dict[str, dict[str, Any]] = {
    "no_personal_data_and_no_key": {
        "hasPersonalInformation": False,
        **with_columns(column("n", "integer", "measure"), entity_key=None),
    },
    "important_data": {"classification": {"grade": "important", "level": 4, "scheme": "GB/T 43697-2024"}},
    "two_modes": {"modes": ["sandbox-sql", "encrypted-sum"]},
    "no_rights_claimed": {"rights": []},
    "a_scenario": {"scenario": "T0100"},
    "identifier_with_extension": {"identifier": f"{PRODUCT}•old-7"},
    "domain_of_numbers": with_columns(KEY, column("x", "number", domain=[1, 2.5])),
    "domain_of_booleans": with_columns(KEY, column("x", "boolean", domain=[True, False])),
    "domain_of_dates": with_columns(KEY, column("x", "date", domain=["2026-01-01"])),
    "disclosure_by_default": {"disclosure": {}},
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_agrees_with_itself_is_accepted(changes: dict[str, Any]) -> None:
    assert isinstance(read_product(product_document(**changes)), Product)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another_type": ({"type": "agreement"}, "data-product"),
    "version_0": ({"version": 0}, "version"),
    "check_character": ({"identifier": PRODUCT[:-1] + "2"}, "check character"),
    "connector_code": ({"identifier": "591620000000000000X621000000001G"}, "product"),
    "extension_after_a_dot": ({"identifier": f"{PRODUCT}.old"}, "•"),
    "party_is_not_the_provider": ({"parties": [PLANNER]}, "party"),
    "two_parties": ({"parties": [HOSPITAL, PLANNER]}, "parties"),
    "no_english_title": ({"title": {"zh": "标题"}}, "title.en"),
    "unknown_key": ({"price": 1}, "price"),
    "theme": ({"theme": "Z0100"}, "theme"),
    "region": ({"region": "621000"}, "region"),
    "code_list": ({"updateFrequency": "010"}, "updateFrequency"),
    "confidential": ({"securityLevel": "004"}, "机密"),
    "top_secret": ({"securityLevel": "005"}, "绝密"),
    "core_data": ({"classification": {"grade": "core", "level": 1, "scheme": "x"}}, "核心数据"),
    "level_5": ({"classification": {"grade": "general", "level": 5, "scheme": "x"}}, "level"),
    "period_backwards": ({"temporal": {"start": "2026-02-01", "end": "2026-01-01"}}, "before it begins"),
    "quality_above_1": ({"quality": {**product_document()["quality"], "accuracy": 1.1}}, "accuracy"),
    "no_source": ({"evidence": {"authorisation": "x"}}, "source"),
    "no_modes": ({"modes": []}, "modes"),
    "mode_twice": ({"modes": ["sandbox-sql", "sandbox-sql"]}, "twice"),
    "no_tables": ({"tables": []}, "tables"),
    "table_twice": ({"tables": product_document()["tables"] * 2}, "twice"),
    "column_twice": (with_columns(KEY, column("a"), column("A")), "twice"),
    "column_name_with_space": (with_columns(KEY, column("a b")), "name"),
    "entity_key_not_a_column": (with_columns(column("a")), "entityKey"),
    "entity_key_of_another_role": (with_columns(column("person")), "entityKey"),
    "two_entity_keys": (with_columns(KEY, column("other", role="entity-key")), "entityKey"),
    "entity_key_not_named": (with_columns(KEY, entity_key=None), "entityKey"),
    "personal_without_key": (with_columns(column("a"), entity_key=None), "entityKey"),
    "personal_with_threshold_4": ({"disclosure": {"minimumEntities": 4}}, "minimumEntities"),
    "text_among_integers": (with_columns(KEY, column("x", "integer", domain=[1, "2"])), "domain"),
    "boolean_among_integers": (with_columns(KEY, column("x", "integer", domain=[True])), "domain"),
    "number_among_integers": (with_columns(KEY, column("x", "integer", domain=[1.5])), "domain"),
    "no_such_day": (with_columns(KEY, column("x", "date", domain=["2026-02-30"])), "domain"),
    "value_twice": (with_columns(KEY, column("x", domain=["a", "a"])), "twice"),
    "empty_domain": (with_columns(KEY, column("x", domain=[])), "domain"),
    "range_of_texts": (with_columns(KEY, column("x", range=[0, 1])), "range"),
    "range_backwards": (with_columns(KEY, column("x", "integer", range=[2, 1])), "range"),
    "isolation_4": ({"disclosure": {"minimumIsolation": 4}}, "minimumIsolation"),
}


@pytest.mark.parametrize(("changes", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_contradicts_itself_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ProductInvalid, match=said) as refused:
        read_product(product_document(**changes))
    assert refused.value.code == "registry.product-invalid"
    assert refused.value.context["errors"]


def test_code_lists_have_both_labels() -> None:
    for code_list in CODE_LISTS:
        assert all(member.zh and member.en for member in code_list), code_list
    assert SecurityLevel("003") is SecurityLevel.SENSITIVE
    assert SecurityLevel.SENSITIVE.zh == "敏感"


@pytest.mark.parametrize(
    ("code", "zh"), [("C0100", "教育文化"), ("C0112", "教育文化"), ("C0900", "民生"), ("A0000", "基础资源")]
)
def test_a_finer_theme_takes_the_label_above_it(code: str, zh: str) -> None:
    label = label_of(Theme, code)
    assert label is not None
    assert label["zh"] == zh


def test_an_unknown_theme_has_no_label() -> None:
    assert label_of(Theme, "Z0000") is None


def test_dcat_says_the_same() -> None:
    dcat = to_dcat(read_product(product_document()))
    assert dcat["@id"] == dcat["dct:identifier"] == PRODUCT
    assert dcat["dct:title"][0] == {"@language": "zh", "@value": "门诊医保结算"}
    assert dcat["dct:temporal"]["dcat:endDate"] == "2025-12-31"
    assert dcat["dct:accrualPeriodicity"]["skos:notation"] == "004"
    assert [d["dct:format"] for d in dcat["dcat:distribution"]] == ["sandbox-sql"]
    assert len(dcat["dqv:hasQualityMeasurement"]) == 6
    encode(dcat)
