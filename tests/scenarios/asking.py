"""A question to a service, its answer, its refusal, and no answer at all."""

from msgkit import Application, MessageTemplate, Reject, listener
from msgkit.errors import RemoteError, RequestTimeout
from tests.scenarios.shop import Quote, QuoteRequest, quotes


@listener(quotes, concurrency=16)
async def quote(request: QuoteRequest) -> Quote:
    if request.sku == "?":
        # Answered to the caller at once.
        raise Reject("unknown sku")
    return Quote(request.amount * 7)


app = Application([quote])


async def ask(template: MessageTemplate, sku: str) -> int | None:
    try:
        answer = await template.request(quotes, QuoteRequest(sku, 3), Quote, timeout=2)
    except RequestTimeout:
        return None
    except RemoteError as error:
        raise ValueError(error.reason) from error
    return answer.price
