"""What a grant is about: the provider's resource behind it, and its troubles, which stay the provider's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from sqlmodel import Session

from connector.contracts import product_store
from connector.contracts import store as business_store
from connector.contracts.resources import Resource
from connector.sources import SourceUnavailable
from connector.sources.errors import ResourceUnusable
from connector.usage.grants import Grant

log = structlog.get_logger("connector.data")


def resource_of(session: Session, grant: Grant) -> Resource:
    """The resource that the granted product version is made of."""
    published = product_store.product(session, grant.product, grant.version)
    return business_store.resource(session, published.resource)


@contextmanager
def kept_here(resource: Resource) -> Iterator[None]:
    """What is wrong with a resource goes to the provider's log; the consumer learns only that something is
    (`SourceUnavailable`)."""
    try:
        yield
    except ResourceUnusable as error:
        log.error("a resource cannot be opened", resource=resource.name, why=error.detail)
        raise SourceUnavailable("the provider has to put its source right first") from error
