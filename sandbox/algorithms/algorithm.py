"""What an algorithm says of itself: a frozen document. Its digest is its name; nothing about it can change."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from hexi.canonical import Json, Wire, digest
from registry.catalogue import ColumnRole, Product, Text
from sandbox.errors import AlgorithmInvalid
from sandbox.programs.declared import MAX_COLUMNS, MAX_OUTPUTS
from sandbox.programs.source import MAX_PROGRAM_CHARACTERS, Program, read_program
from sandbox.reasons import Refusal

# Counts: what a person can keep in mind of one algorithm.
MAX_PARAMETERS, MAX_CHOICES, MAX_PRODUCTS = 20, 100, 20

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
# A name, or ``$parameter``: the value that the run gives.
Named = Annotated[str, Field(pattern=r"^\$?[a-z][a-z0-9_]{0,31}$")]


# For descriptions of the interface.
EXAMPLE: dict[str, Json] = {
    "type": "algorithm",
    "name": "mean_by_group",
    "version": 1,
    "author": "did:web:university.example",
    "title": {"zh": "分组均值", "en": "Means by group"},
    "description": {"zh": "每组的人数与均值。", "en": "How many, and the mean, in every group."},
    "products": ["691620000000000000X6210A1B2C3D41"],
    "parameters": [{"name": "group", "type": "dimension"}],
    "outputs": [
        {
            "kind": "table",
            "name": "means",
            "columns": [{"name": "$group", "type": "dimension"}, {"name": "n", "type": "count"}],
        }
    ],
    "source": "import hexi_outputs",
}


class Parameter(Wire):
    """What a run chooses: a `dimension` or `measure` of the product by name, a whole number within bounds, or one of
    some `choices`.
    """

    name: Name
    type: Literal["dimension", "measure", "integer", "choice"]
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[Name, ...] = Field(default=(), max_length=MAX_CHOICES)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.type == "choice") != bool(self.choices):
            raise ValueError(f"parameter {self.name}: a choice, and only that, has choices")
        bounds = self.minimum is not None and self.maximum is not None
        if (self.type == "integer") != bounds or (bounds and (self.minimum or 0) > (self.maximum or 0)):
            raise ValueError(f"parameter {self.name}: an integer, and only that, has minimum and maximum, in order")
        return self

    def why_not(self, value: Json, product: Product) -> str | None:
        """Why `value` may not be given for it, or None."""
        if self.type == "integer":
            whole = isinstance(value, int) and not isinstance(value, bool)
            fits = whole and (self.minimum or 0) <= value <= (self.maximum or 0)
            return None if fits else f"{self.name} is a whole number from {self.minimum} to {self.maximum}"
        if self.type == "choice":
            return None if value in self.choices else f"{self.name} is one of {', '.join(self.choices)}"
        role = ColumnRole(self.type)
        named = sorted({column.name for table in product.tables for column in table.columns if column.role is role})
        return None if value in named else f"{self.name} is a {self.type} of the product: {', '.join(named)}"


class OutputColumn(Wire):
    """A column that will be there."""

    name: Named
    type: Literal["dimension", "label", "count", "number", "share"]


class DeclaredOutput(Wire):
    """An output that will be there, and nothing but it: a table or chart with its columns, a model with its family."""

    kind: Literal["table", "chart", "model"]
    name: Name
    columns: tuple[OutputColumn, ...] = Field(default=(), max_length=MAX_COLUMNS)
    family: Literal["linear", "logistic"] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.kind == "model") != (self.family is not None) or (self.kind == "model") == bool(self.columns):
            raise ValueError(f"output {self.name}: a model has a family, a table or chart its columns")
        return self

    def shape(self, parameters: Mapping[str, Json]) -> Json:
        """What of a collected output it fixes, under `parameters`."""
        columns = [[str(parameters.get(one.name[1:], one.name)), one.type] for one in self.columns]
        return [self.kind, self.name, self.family or columns]


class Algorithm(Wire):
    """A program with what it takes and what it gives. `author` is the DID of the organisation that answers for it.

    `products` are those whose tables it is for: by them reviewers are chosen, and over no other is it run. One that was
    kept before products were named has none: it is for no product.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    type: Literal["algorithm"] = "algorithm"
    name: Name
    version: int = Field(ge=1, le=10_000)
    author: str = Field(pattern=r"^did:[a-z0-9]+:\S+$", max_length=500)
    title: Text
    description: Text
    products: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] | None = Field(
        default=None, min_length=1, max_length=MAX_PRODUCTS
    )
    parameters: tuple[Parameter, ...] = Field(default=(), max_length=MAX_PARAMETERS)
    outputs: tuple[DeclaredOutput, ...] = Field(min_length=1, max_length=MAX_OUTPUTS)
    source: str = Field(min_length=1, max_length=MAX_PROGRAM_CHARACTERS)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for names in ([one.name for one in self.parameters], [one.name for one in self.outputs]):
            if len(set(names)) < len(names):
                raise ValueError("two parameters, or two outputs, have the same name")
        if len(set(self.products or ())) < len(self.products or ()):
            raise ValueError("a product is named twice")
        known = {parameter.name for parameter in self.parameters}
        asked = {column.name[1:] for one in self.outputs for column in one.columns if column.name.startswith("$")}
        if missing := asked - known:
            raise ValueError(f"no parameter {', '.join(sorted(missing))} is declared")
        if isinstance(program := read_program(self.source), Refusal):
            raise ValueError(program.reasons[0].message)
        return self

    @property
    def digest(self) -> str:
        """Names it."""
        return digest(self.document())

    @property
    def program(self) -> Program:
        """Its source, which was read before."""
        program = read_program(self.source)
        if isinstance(program, Refusal):
            raise AlgorithmInvalid(program.reasons[0].message)
        return program

    def is_for(self, product: str) -> bool:
        """Whether it names `product` (an identifier)."""
        return product in (self.products or ())

    def document(self) -> dict[str, Json]:
        """The JSON that is digested and kept."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def why_not(self, parameters: Mapping[str, Json], product: Product) -> str | None:
        """Why it may not be run over `product` with `parameters`, or None."""
        declared = {parameter.name: parameter for parameter in self.parameters}
        if parameters.keys() != declared.keys():
            return f"the algorithm takes exactly these parameters: {', '.join(declared) or 'none'}"
        found = (declared[name].why_not(value, product) for name, value in parameters.items())
        return next((why for why in found if why), None)

    def why_broken(self, outputs: Sequence[Json], parameters: Mapping[str, Json]) -> str | None:
        """What of `outputs` is not as declared, or None."""
        declared = sorted((one.shape(parameters) for one in self.outputs), key=lambda shape: shape[1])
        if [_shape(output) for output in outputs] != declared:
            return "the outputs are not those that the algorithm declares"
        return None


def read_algorithm(document: Json) -> Algorithm:
    """The algorithm that `document` describes. Raises `AlgorithmInvalid`, which says where and why."""
    try:
        return Algorithm.model_validate(document)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'algorithm'}: {e['msg']}" for e in error.errors()[:3])
        raise AlgorithmInvalid(said) from error


def read_parameters(given: Sequence[str]) -> dict[str, str | int]:
    """Parameters as they are written on a command line, ``name=value``. Raises `AlgorithmInvalid`."""
    pairs = [one.partition("=") for one in given]
    if not all(sign for _, sign, _ in pairs):
        raise AlgorithmInvalid("write each parameter as name=value")
    return {name: int(value) if value.isdecimal() else value for name, _, value in pairs}


def _shape(output: Mapping[str, Any]) -> Json:
    if output["kind"] == "model":
        return ["model", output["name"], output["family"]]
    return [output["kind"], output["name"], [[column["name"], column["type"]] for column in output["columns"]]]
