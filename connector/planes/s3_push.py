"""AmazonS3-PUSH: the provider writes one object into the storage that the consumer names in its request.

The data address is that of Eclipse EDC: type ``AmazonS3``, and properties as `connector.s3.location` reads them. The
endpoint was chosen by somebody else, so it passes the guard that callbacks pass (`connector.protocol.callbacks`).
"""

from connector.planes import Refused
from connector.protocol.callbacks import check_callback
from connector.protocol.errors import CallbackRefused
from connector.s3.errors import LocationInvalid
from connector.s3.location import Location, read_location
from connector.s3.signing import Credentials

FORMAT = "AmazonS3-PUSH"
# What an object is called whose name the consumer left open, until the source says its own.
UNNAMED = "data"


def read_storage(
    told: dict[str, str], name: str = UNNAMED, *, unsafe_allow_loopback: bool
) -> tuple[Location, Credentials]:
    """The object in a data address, called `name` where that leaves it open, and the key to it. Raises `Refused`."""
    try:
        location, credentials = read_location(told, name)
        check_callback(location.url, unsafe_allow_loopback=unsafe_allow_loopback)
    except (LocationInvalid, CallbackRefused) as error:
        raise Refused(f"data are not written there: {error.detail}") from error
    return location, credentials
