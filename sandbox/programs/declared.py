"""What a program may declare: tables, charts and models, as they come out of the isolation. Shape only.

Everything here was written by somebody else's program. Unknown kinds (trees, weights, blobs, files) have no shape, so
they cannot be said. What the values may be is `sandbox.programs.collecting`'s.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr, TypeAdapter

from hexi.canonical import Wire

# Limits of one run's outputs: counts.
MAX_OUTPUTS, MAX_ROWS, MAX_COLUMNS, MAX_TERMS = 20, 500, 20, 60

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Value = StrictBool | StrictInt | StrictFloat | StrictStr | None
Number = StrictInt | StrictFloat


class _Declared(Wire):
    model_config = ConfigDict(strict=True)


class DeclaredColumn(_Declared):
    """A column: a `dimension` of the product, a `label` of the program's own, a `count` of entities, a `number`, or a
    `share` between 0 and 1.
    """

    name: Name
    type: Literal["dimension", "label", "count", "number", "share"]


class DeclaredTable(_Declared):
    """A table of statistics. Dimensions and labels are its key."""

    kind: Literal["table"]
    name: Name
    columns: Annotated[list[DeclaredColumn], Field(min_length=1, max_length=MAX_COLUMNS)]
    rows: Annotated[list[list[Value]], Field(max_length=MAX_ROWS)]


class DeclaredChart(_Declared):
    """A table with the way to draw it: what is drawn is drawn outside, from the released numbers."""

    kind: Literal["chart"]
    name: Name
    columns: Annotated[list[DeclaredColumn], Field(min_length=2, max_length=MAX_COLUMNS)]
    rows: Annotated[list[list[Value]], Field(max_length=MAX_ROWS)]
    mark: Literal["bar", "line"]
    x: Name
    y: Name


class DeclaredTerm(_Declared):
    """A term of a model, with its coefficient and standard error."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    coefficient: Number
    error: Number


class DeclaredModel(_Declared):
    """A regression: coefficients and what they stand on. `n` counts entities."""

    kind: Literal["model"]
    name: Name
    family: Literal["linear", "logistic"]
    outcome: Annotated[str, Field(min_length=1, max_length=128)]
    n: StrictInt
    terms: Annotated[list[DeclaredTerm], Field(min_length=1, max_length=MAX_TERMS)]
    r2: Number | None = None


Declared = Annotated[DeclaredTable | DeclaredChart | DeclaredModel, Field(discriminator="kind")]
_Outputs = Annotated[list[Declared], Field(min_length=1, max_length=MAX_OUTPUTS)]
OUTPUTS: TypeAdapter[list[Declared]] = TypeAdapter(_Outputs)
