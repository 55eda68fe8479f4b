"""A FastAPI application that sends and listens."""

from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException

from msgkit import Application, MessageTemplate, listener
from msgkit.errors import SendRefused, SendUnknown
from tests.scenarios.shop import OrderPlaced, orders

billed: list[str] = []


@listener(orders.queue("billing"))
async def bill(order: OrderPlaced) -> None:
    billed.append(order.id)


messaging = Application([bill])
api = FastAPI(lifespan=messaging.lifespan)

Template = Annotated[MessageTemplate, Depends(lambda: messaging.template)]


@api.post("/orders/{id_}", status_code=202)
async def place(id_: str, template: Template) -> str:
    try:
        receipt = await template.send(orders, OrderPlaced(id_, "17", "eu", 3), message_id=id_)
    except (SendRefused, SendUnknown) as error:
        # Only the first of them is safe to ask for again.
        raise HTTPException(503 if isinstance(error, SendRefused) else 500) from error
    return receipt.message_id
