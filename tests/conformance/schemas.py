"""The specification's JSON Schemas, read out of the kit's downloaded jars; nothing of them is kept here.

    schemas = Schemas(maven.jars(FOLDER))
    schemas.check(body)

`at_hand` is what tests use that must do without Java: the schemas if the jars have been fetched, else nothing.

The jars have no schema for some messages; `_WITHOUT_SCHEMA` holds what the specification says of those.
Source: Dataspace Protocol 2025-1, sections 6 to 9.
"""

import zipfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from jsonschema import Draft201909Validator, ValidationError
from referencing import Registry, Resource

from connector.protocol.messages import CONTEXT
from hexi.canonical import Json, parse
from tests.conformance import maven

KIT = Path(__file__).parent / "dsp"

_TEXTS: dict[str, Json] = {"type": "array", "minItems": 1}
_CONTEXT: dict[str, Json] = {"type": "array", "items": {"type": "string"}, "contains": {"const": CONTEXT}}


def _own(type_: str, *required: str) -> dict[str, Json]:
    strings = {name: {"type": "string"} for name in ("providerPid", "consumerPid", "code", "version")}
    return {
        "type": "object",
        "properties": {"@context": _CONTEXT, "@type": {"const": type_}, **strings, "reason": _TEXTS},
        "required": ["@context", "@type", *required],
    }


_PIDS = ("providerPid", "consumerPid")
_WITHOUT_SCHEMA: Mapping[str, dict[str, Json]] = {
    "CatalogError": _own("CatalogError"),
    "TransferError": _own("TransferError", *_PIDS),
    "TransferCompletionMessage": _own("TransferCompletionMessage", *_PIDS),
    "TransferSuspensionMessage": _own("TransferSuspensionMessage", *_PIDS),
    "TransferTerminationMessage": _own("TransferTerminationMessage", *_PIDS),
}


class Schemas:
    """The schemas in `jars`, by the @type of the message."""

    def __init__(self, jars: Iterable[Path]) -> None:
        documents = {document["$id"]: document for jar in jars for document in _schemas_in(jar)}
        registry: Registry[Json] = Registry().with_resources(
            (identifier, Resource.from_contents(document)) for identifier, document in documents.items()
        )
        self._validators = {
            type_: Draft201909Validator(document, registry=registry)
            for document in documents.values()
            for type_ in [str(document["title"]).removesuffix("Schema")]
        } | {type_: Draft201909Validator(document) for type_, document in _WITHOUT_SCHEMA.items()}

    @property
    def types(self) -> frozenset[str]:
        """The types of messages there is a schema for."""
        return frozenset(self._validators)

    def check(self, body: Json) -> None:
        """Raise `jsonschema.ValidationError` unless `body` is what its @type asks for.

        Beyond the schemas: exactly the one context, because peers know no other, and a type there is a schema for.
        """
        said = (body.get("@context"), body.get("@type")) if isinstance(body, dict) else (None, None)
        if said[0] != [CONTEXT] or said[1] not in self._validators:
            raise ValidationError(f"no message with the one context and a type of the protocol: {body}")
        self._validators[said[1]].validate(body)


@cache
def at_hand() -> Schemas | None:
    """The schemas, if ``make conformance`` has fetched the kit before; nothing is fetched here."""
    jars = maven.jars_at_hand(KIT)
    return Schemas(jars) if jars else None


def check_if_at_hand(body: Json) -> None:
    """`Schemas.check`, where the schemas are at hand."""
    if (schemas := at_hand()) is not None:
        schemas.check(body)


def _schemas_in(jar: Path) -> Iterable[dict[str, Json]]:
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.endswith("-schema.json"):
                yield _mended(parse(archive.read(name)))


def _mended(value: Json) -> Json:
    """`value` without the slip in the policy's schema, where the items of a profile are the word "string"."""
    if isinstance(value, list):
        return [_mended(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: {"type": "string"} if (key, item) == ("items", "string") else _mended(item) for key, item in value.items()
    }


def main() -> None:
    """Fetch the jars, so that every message of every test is held against the schemas (``make schemas``)."""
    print(f"schemas: {len(list(maven.jars(KIT)))} jars of the kit are at hand")


if __name__ == "__main__":
    main()
