"""What a provider says of a resource that is served piece by piece: an API, a stream. Frozen values, strictly read.

{"type": "api", "url": "http://10.0.0.5:9000/v1", "secret": "lab-key",
 "operations": [{"methods": ["GET"], "path": "/patients/{id}"}, {"methods": ["POST"], "path": "/search"}]}
{"type": "stream", "retention": {"hours": 168, "events": 100000}}
{"type": "ndjson", "path": "/var/lib/lab/events.ndjson"}
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from connector.streams.appended import Retention
from hexi.canonical import Wire

# Defaults an API's description may change within these bounds: seconds to the answer's first byte, and bytes.
DEFAULT_SECONDS, MAX_SECONDS = 30.0, 300.0
DEFAULT_ANSWER_BYTES, MAX_ANSWER_BYTES = 64 * 1024**2, 1024**4
MAX_OPERATIONS = 100
MAX_HEADERS = 50

# The name of a file in the folder `secrets`, not a path to one.
SecretName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
Method = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$", to_lower=True)]
HeaderValue = Annotated[str, Field(pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$", max_length=1_024)]
# Literal segments, {name} for any one segment, and ** at the end for anything below.
PathPattern = Annotated[
    str, Field(pattern=r"^(/([A-Za-z0-9._~:@!$&'()+,=-]+|\{[A-Za-z0-9_]+\}))*(/\*\*)?/?$", max_length=512)
]


class Operation(Wire):
    """Something the API is asked to do: any of `methods` on a path that fits."""

    methods: tuple[Method, ...] = Field(min_length=1)
    path: PathPattern


class ApiDescription(Wire):
    """An API behind a contract. `secret` names a file of the provider that holds one header line."""

    type: Literal["api"]
    url: Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$", max_length=2_048)]
    operations: tuple[Operation, ...] = Field(min_length=1, max_length=MAX_OPERATIONS)
    secret: SecretName | None = None
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=MAX_HEADERS)
    request_headers: tuple[HeaderName, ...] = Field(default=(), max_length=MAX_HEADERS)
    answer_headers: tuple[HeaderName, ...] = Field(default=(), max_length=MAX_HEADERS)
    timeout_seconds: float = Field(default=DEFAULT_SECONDS, gt=0, le=MAX_SECONDS)
    maximum_answer_bytes: int = Field(default=DEFAULT_ANSWER_BYTES, ge=1, le=MAX_ANSWER_BYTES)


class StreamDescription(Wire):
    """Events that the provider's programs append through the management API."""

    type: Literal["stream"]
    retention: Retention = Retention()


class NdjsonDescription(Wire):
    """The lines of a file that something else writes."""

    type: Literal["ndjson"]
    path: Path
