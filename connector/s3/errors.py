"""What can go wrong with S3-compatible storage.

::

    DataspaceError
    |- Malformed: LocationInvalid     422  the properties name no object that could be called
    |- Conflict: StorageRefused       409  storage says no, or answers what S3 does not
    `- Unavailable: StorageUnreachable 503  storage says nothing, or asks to come back

No message carries a key, a token or the text of an error answer, which quotes what was signed.
"""

from hexi.errors import Conflict, Malformed, Unavailable


class LocationInvalid(Malformed):
    """Properties that name no object: the message names the property."""

    code = "connector.storage-location-invalid"
    title = "This names no object in storage"


class StorageRefused(Conflict):
    """Storage says no, or answers something that S3 does not say. `storageStatus` and `storageCode` are its words."""

    code = "connector.storage-refused"
    title = "The storage refused"


class StorageUnreachable(Unavailable):
    """Storage does not answer, or asks to come back later."""

    code = "connector.storage-unreachable"
    title = "The storage does not answer"
