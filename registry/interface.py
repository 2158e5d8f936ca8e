"""The unified interface (统一接口), version by version: how to call this space, and what the messages look like.

Whoever writes a connector of its own finds here, without an account: the OpenAPI description of every service of the
space, JSON Schemas (2020-12) of the documents that are signed and exchanged, and the code lists with their labels.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from hexi.canonical import Json
from registry import messages
from registry.catalogue import Product
from registry.codes import CODE_LISTS
from registry.errors import InterfaceUnknown

VERSION = "1.0"
VERSIONS = (VERSION,)

SCHEMAS: Mapping[str, type[BaseModel]] = {
    "product": Product,
    "application": messages.Application,
    "application-state": messages.ApplicationState,
    "participant": messages.ParticipantMessage,
    "identifier": messages.IdentifierAnswer,
    "publication": messages.Publication,
    "search-answer": messages.SearchAnswer,
    "operator": messages.OperatorAnswer,
}


def versions(base: str) -> dict[str, Json]:
    """The versions served below the URL path `base`, the newest last."""
    return {"versions": [{"version": version, "url": f"{base}/{version}"} for version in VERSIONS]}


def contents(base: str, version: str) -> dict[str, Json]:
    """What one version consists of. Raises `InterfaceUnknown`."""
    check_version(version)
    root = f"{base}/{version}"
    return {
        "version": version,
        "openapi": f"{root}/openapi.json",
        "codeLists": f"{root}/code-lists.json",
        "schemas": {name: f"{root}/schemas/{name}.json" for name in SCHEMAS},
    }


def schema(base: str, version: str, name: str) -> dict[str, Any]:
    """The JSON Schema of one message. Raises `InterfaceUnknown`."""
    check_version(version)
    if name not in SCHEMAS:
        raise InterfaceUnknown(f"there is no schema {name!r}; there are: {', '.join(SCHEMAS)}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"{base}/{version}/schemas/{name}.json",
        **SCHEMAS[name].model_json_schema(by_alias=True),
    }


def code_lists(version: str) -> dict[str, Json]:
    """Every code list, code to label in Chinese and English. Raises `InterfaceUnknown`."""
    check_version(version)
    return {
        code_list.__name__: {member.value: {"zh": member.zh, "en": member.en} for member in code_list}
        for code_list in CODE_LISTS
    }


def check_version(version: str) -> None:
    """Raise `InterfaceUnknown` unless this version is served."""
    if version not in VERSIONS:
        raise InterfaceUnknown(f"the interface is served in version {', '.join(VERSIONS)}, not {version!r}")
