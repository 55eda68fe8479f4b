"""A web application that sends orders, and handles them, in one process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Response, status

from msgkit import Application, Exchange, Reject, Sender, listener
from msgkit.errors import SendRefused, SendUnknown

__all__ = ["api", "messaging"]


@dataclass(frozen=True)
class Order:
    id: str
    article: str
    pieces: int


orders = Exchange("orders", Order, key=lambda order: order.id)
packing = orders.queue("packing")

# Where a real service has its database.
states: dict[str, str] = {}


@listener(packing, concurrency=4)
async def pack(order: Order) -> None:
    if order.pieces < 1:
        states[order.id] = "refused"
        raise Reject(f"nothing to pack: {order.pieces} pieces")
    states[order.id] = "packed"


messaging = Application([pack])
api = FastAPI(lifespan=messaging.lifespan)

Messages = Annotated[Sender, Depends(lambda: messaging.template)]


@api.post("/orders", status_code=status.HTTP_202_ACCEPTED)
async def place(order: Order, messages: Messages) -> dict[str, str]:
    states[order.id] = "placed"
    try:
        receipt = await messages.send(orders, order, message_id=order.id, timeout=5)
    except SendRefused as error:
        # The broker does not have it, so asking again makes no second order.
        del states[order.id]
        raise HTTPException(status.HTTP_503_SERVICE_UNAVAILABLE, "try again") from error
    except SendUnknown:
        # The broker may have it: the state will tell.
        return {"id": order.id, "state": "unknown"}
    return {"id": receipt.message_id, "state": "placed"}


@api.get("/orders/{id_}")
async def look_up(id_: str) -> dict[str, str]:
    if id_ not in states:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    return {"id": id_, "state": states[id_]}


@api.get("/health")
async def health(response: Response) -> dict[str, object]:
    health = await messaging.health()
    if health["status"] != "up":
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return dict(health)
