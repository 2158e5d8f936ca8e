"""What can go wrong with the federated catalogue.

::

    DataspaceError
    |- CatalogueUnusable        what a peer shows is no catalogue of its, or breaks a limit (recorded, never answered)
    |- NotFound
    |  `- CrawledPeerUnknown    404  nobody whose catalogue is crawled
    `- Conflict
       |- OwnCatalogue          409  ourselves
       `- TooManyCrawledPeers   409

Every code has its heading in ``docs/reference/errors/crawler.md``.
"""

from hexi.errors import Conflict, DataspaceError, NotFound


class CatalogueUnusable(DataspaceError):
    """What a peer shows as its catalogue is none, is not its own, or breaks a limit."""

    status = 502
    code = "connector.catalogue-unusable"
    title = "The peer's catalogue cannot be used"


class CrawledPeerUnknown(NotFound):
    """Nobody of this name whose catalogue is crawled."""

    code = "connector.crawled-peer-unknown"
    title = "This catalogue is not crawled"


class OwnCatalogue(Conflict):
    """Our own catalogue is not crawled: it is here."""

    code = "connector.own-catalogue"
    title = "This is our own catalogue"


class TooManyCrawledPeers(Conflict):
    """As many catalogues as this connector crawls."""

    code = "connector.too-many-crawled-peers"
    title = "There are too many catalogues"
