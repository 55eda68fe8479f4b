"""What the programs at both ends talk about: the records of the Spring program, in Python."""

from pydantic import BaseModel

from msgkit import Json

__all__ = ["BY_TYPE_ID", "ORDER", "ORDER_JSON", "OrderCancelled", "OrderPlaced", "Quote", "QuoteRequest"]


class OrderPlaced(BaseModel):
    id: str
    customer: str
    total: int


class OrderCancelled(BaseModel):
    id: str
    reason: str


class QuoteRequest(BaseModel):
    article: str
    pieces: int


class Quote(BaseModel):
    price: int


ORDER = OrderPlaced(id="1", customer="17", total=30)
ORDER_JSON = b'{"id":"1","customer":"17","total":30}'

#: Names types in the header where Spring looks for them, and by the classes that they are in Java.
BY_TYPE_ID = Json(
    type_header="__TypeId__",
    types={"shop.OrderPlaced": OrderPlaced, "shop.OrderCancelled": OrderCancelled},
)
