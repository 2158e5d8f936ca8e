"""Resources, the products made of them, and the space's catalogue."""

from typing import Annotated

from fastapi import APIRouter, Query

from connector.api.management import views
from connector.api.management.access import PREFIX, Owner
from connector.api.management.listings import ProductsAsked
from connector.contracts import product_store, store
from connector.contracts.errors import ProductUnknown, ResourceTaken, ResourceUnknown
from connector.contracts.resources import Resource as LocalResource
from connector.contracts.resources import check_resource
from connector.management import store as management_store
from connector.management.answers import CatalogueProduct, Product, Products, Publication, Resource
from connector.management.desk import Desk
from connector.management.errors import CursorInvalid
from connector.management.messages import AddResource, PublishProduct
from connector.policies.errors import ConstraintUnknown, PolicyInvalid
from connector.sources.errors import ResourceUnusable
from hexi.canonical import instant
from hexi.client import Unreachable
from hexi.web import Read, SessionRoute, Write, problems
from registry.errors import ProductInvalid
from registry.messages import SearchAnswer


def create_router(desk: Desk) -> APIRouter:
    """The routes of the subject."""
    router = APIRouter(route_class=SessionRoute, prefix=PREFIX, tags=["products"])
    _add_resources(router, desk)
    _add_products(router, desk)
    return router


def _add_resources(router: APIRouter, desk: Desk) -> None:
    @router.post("/resources", status_code=201, responses=problems(ResourceTaken, ResourceUnusable))
    def add_resource(_: Owner, body: AddResource, session: Write) -> Resource:
        """Name tables on this machine, or a source to deliver from. 登记数据资源。

        The same again changes nothing.
        """
        resource = LocalResource(body.name, body.tables, body.source)
        check_resource(resource)
        if resource.source is not None:
            desk.publisher.sources.check(resource.name, resource.source)
        store.add_resource(session, resource, instant(desk.clock()))
        return views.resource(resource)

    @router.get("/resources")
    def list_resources(_: Owner, session: Read) -> list[Resource]:
        """All resources, by name. 数据资源列表。"""
        return [views.resource(resource) for resource in store.resources(session)]


def _add_products(router: APIRouter, desk: Desk) -> None:
    @router.post(
        "/products",
        status_code=201,
        responses=problems(
            ResourceUnknown, ResourceUnusable, PolicyInvalid, ConstraintUnknown, ProductInvalid, Unreachable
        ),
    )
    def publish_product(_: Owner, body: PublishProduct) -> Publication:
        """Publish a product, or its next version; an unchanged one is answered as it stands. 发布数据产品。"""
        published = desk.publisher.publish(body.resource, body.description)
        return Publication(
            identifier=published.product.identifier,
            version=published.product.version,
            offer=published.product.offer_id,
            digest=published.signed.digest,
            receipt=published.receipt,
        )

    @router.get("/products", responses=problems(CursorInvalid))
    def list_products(_: Owner, session: Read, asked: Annotated[ProductsAsked, Query()]) -> Products:
        """The newest version of every product published from here, as signed. 已发布产品列表。"""
        found = management_store.products(session, asked.resource, asked.after, asked.limit)
        return Products(**views.page(found, views.product))

    @router.get("/products/{identifier}", responses=problems(ProductUnknown))
    def read_product(_: Owner, identifier: str, session: Read) -> Product:
        """The newest published version of one product. 查看产品。"""
        return views.product(product_store.product(session, identifier))

    @router.post("/products/{identifier}/withdrawal", responses=problems(ProductUnknown))
    def withdraw_product(_: Owner, identifier: str) -> Product:
        """Offer a product no more; agreements about it go on. 下架数据产品。

        Here at once; in the space's catalogue and on its market as soon as the space hears of it.
        """
        return views.product(desk.publisher.withdraw(identifier))

    @router.get("/catalogue", responses=problems(Unreachable))
    def search_catalogue(
        _: Owner, q: str = "", offset: Annotated[int, Query(ge=0)] = 0, limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> SearchAnswer:
        """Search the space's catalogue. 检索空间目录。"""
        return desk.search(q, offset, limit)

    @router.get("/catalogue/{product}", responses=problems(ProductUnknown, Unreachable))
    def read_catalogue_product(_: Owner, product: str) -> CatalogueProduct:
        """The newest version of a product of the space, as its provider signed it. 查看目录产品。"""
        return views.catalogue_product(desk.previews.product(product))
