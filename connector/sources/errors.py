"""What can go wrong with a source. The code has its heading in ``docs/reference/errors/connector-business.md``."""

from hexi.errors import Malformed


class ResourceUnusable(Malformed):
    """A resource whose files cannot be read as tables."""

    code = "connector.resource-unusable"
    title = "The resource cannot be used"
