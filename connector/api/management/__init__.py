"""The management API: what the participant's own people and programs ask of their connector. 管理接口。

Plain JSON, camelCase; errors are problem+json. Every endpoint takes `Owner`. Nothing here is for other participants;
they speak the Dataspace Protocol. One module a subject, each with a `create_router`; what it answers is typed
(`connector.management.answers`), and what may go wrong is named with `hexi.web.problems`, so that the description at
``/openapi.json`` says all of it.
"""

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from connector.api.management import (
    agreements,
    algorithms,
    computations,
    jobs,
    membership,
    negotiations,
    offers,
    previews,
    products,
    reviews,
    transfers,
    webhooks,
)
from connector.api.management.access import PREFIX, Owner
from connector.contracts.errors import ManagementTokenInvalid
from connector.management.desk import Desk
from hexi.web import problems

__all__ = ["PREFIX", "Owner", "algorithms", "create_router", "reviews", "webhooks"]

_SUBJECTS = (membership, products, offers, negotiations, agreements, transfers, computations, jobs, previews)


def create_router(desk: Desk, *others: APIRouter) -> APIRouter:
    """The routes under ``/management``: those of `desk`, and `others` that stand on collaborators of their own."""
    router = APIRouter()
    for subject in (*(module.create_router(desk) for module in _SUBJECTS), *others):
        for route in subject.routes:
            _complete(route)
            # As it is: of an included route the framework makes the handler anew, for every request.
            router.routes.append(route)
    return router


def _complete(route: BaseRoute) -> None:
    """What the routes of all subjects have alike, for the description."""
    if isinstance(route, APIRoute):
        route.responses = problems(ManagementTokenInvalid) | route.responses
        # The endpoint's own name: generated clients get methods that people can say.
        route.unique_id = route.name
