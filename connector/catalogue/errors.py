"""What can go wrong in the catalogue."""

from hexi.errors import Malformed


class FilterUnsupported(Malformed):
    """The catalogue was asked something it cannot be asked; it is never answered as if it had not been."""

    code = "connector.filter-unsupported"
    status = 400
    title = "The catalogue cannot be asked this"
