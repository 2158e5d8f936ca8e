"""Transfer formats: what the Dataspace Protocol calls a way of delivering, by the product's word for it.

A computation is a format like any other (decision 0004). Only what is really served stands here: a dataset advertises
every format of its product's modes.
"""

from collections.abc import Mapping

# `registry.codes.Mode` -> the formats a product in this mode is delivered in.
FORMATS: Mapping[str, tuple[str, ...]] = {
    "sandbox-sql": ("HexiSandbox-SQL",),
    "sandbox-program": ("HexiSandbox-Program",),
    "encrypted-sum": ("HexiSandbox-EncryptedSum",),
    "file": ("HttpData-PULL", "HttpData-PUSH", "AmazonS3-PUSH"),
    "api": ("HttpApi-PULL",),
    "stream": ("ServerSentEvents-PULL",),
    "table": ("ArrowFlight-PULL",),
}
MODES: Mapping[str, str] = {format_: mode for mode, formats in FORMATS.items() for format_ in formats}

# Computed in the provider's sandbox, under a permit; every other format is served by a data plane, under a grant.
COMPUTED = frozenset({*FORMATS["sandbox-sql"], *FORMATS["sandbox-program"], *FORMATS["encrypted-sum"]})
