"""Templates in bad times: other loops, brokers that do not answer, interceptors that fail."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any, cast

import pytest

from msgkit import Envelope, MessageTemplate, Queue, Receipt, Reject
from msgkit.envelope import Kind
from msgkit.errors import (
    BrokerUnavailable,
    ConfigurationError,
    DeliveryLost,
    InvalidMessage,
    MessagingError,
    RemoteError,
    SendRefused,
    SendUnknown,
)
from msgkit.interception import Send
from msgkit.message import Message
from tests.core.workshop import Place

orders = Queue("orders", str)

_QUICKLY = 5.0


def _texts(error: BaseException) -> list[str]:
    return [str(each) for each in cast("ExceptionGroup[Exception]", error).exceptions]


# -- loops


def test_a_template_refuses_a_second_event_loop(place: Place) -> None:
    template = MessageTemplate(place.settings())
    asyncio.run(template.declare(orders))
    with pytest.raises(ConfigurationError, match="another event loop"):
        asyncio.run(template.send(orders, "x"))


# -- brokers that do not answer


async def test_receive_ends_when_its_broker_went_away(place: Place) -> None:
    async with place.template(orders) as template:
        await template.send(orders, "x")

        async def take() -> None:
            async with asyncio.timeout(0.2), template.receive(orders, timeout=1):
                place.broker.faults.pause()

        try:
            taking = asyncio.create_task(take())
            done, _ = await asyncio.wait([taking], timeout=_QUICKLY)
            assert done
            assert isinstance(taking.exception(), TimeoutError)
        finally:
            place.broker.faults.heal()


async def test_receive_says_when_its_acceptance_was_not_confirmed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("msgkit.template.template._LEAVING", 0.1)
    async with place.template(orders) as template:
        await template.send(orders, "x")
        try:
            with pytest.raises(DeliveryLost, match="not confirmed"):
                async with template.receive(orders, timeout=1):
                    place.broker.faults.pause()
        finally:
            place.broker.faults.heal()


async def _request(template: MessageTemplate) -> None:
    await template.request(orders, "x", str, timeout=0.1)


async def _prepare(template: MessageTemplate) -> None:
    async with template.prepare(orders, "x", check="c", timeout=0.1):
        pass


async def _send_in_a_transaction(template: MessageTemplate) -> None:
    async with template.transaction() as transaction:
        await transaction.send(orders, "x", timeout=0.1)


async def _receive(template: MessageTemplate) -> None:
    async with template.receive(orders, timeout=0.1):
        pass


@pytest.mark.parametrize(
    ("use", "error"),
    [
        (_request, SendRefused),
        (_prepare, SendUnknown),
        (_send_in_a_transaction, SendUnknown),
        (_receive, BrokerUnavailable),
    ],
)
async def test_no_use_outlasts_its_time_while_the_broker_is_away(
    place: Place, use: Callable[[MessageTemplate], Any], error: type[MessagingError]
) -> None:
    async with MessageTemplate(place.settings(wait_for_broker=0.2)) as template:
        await template.declare(orders)
        place.broker.faults.stop()
        try:
            with pytest.raises(error):
                await asyncio.wait_for(use(template), _QUICKLY)
        finally:
            place.broker.faults.heal()


async def test_a_request_whose_send_and_answer_fail_leaves_no_error_behind(place: Place) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context)))
    async with place.template(orders) as template:
        place.broker.faults.lose_confirms(1)
        with pytest.raises(MessagingError):
            await template.request(orders, "x", str, timeout=1)
        gc.collect()
        await asyncio.sleep(0)
    assert complaints == []


# -- answers


async def test_who_asks_hears_that_a_receiver_rejected_his_request(place: Place) -> None:
    async with place.template(orders) as template:

        async def serve() -> None:
            async with template.receive(orders, timeout=_QUICKLY) as deliveries:
                await deliveries[0].settle(Reject("no such thing"))

        serving = asyncio.create_task(serve())
        with pytest.raises(RemoteError, match="no such thing"):
            await template.request(orders, "x", str, timeout=_QUICKLY)
        await serving


async def test_who_asks_hears_that_his_request_cannot_be_read(place: Place) -> None:
    async with place.template(orders) as template:

        async def serve() -> None:
            async with template.receiver(Queue("orders", int)) as receiver:
                assert await receiver.take(timeout=0.5) == []

        serving = asyncio.create_task(serve())
        with pytest.raises(RemoteError, match="ConversionError"):
            await template.request(orders, "no number", str, timeout=_QUICKLY)
        await serving


# -- interceptors


async def _stamp(envelope: Envelope, proceed: Send) -> Receipt:
    return await proceed(envelope.with_headers({"stamp": "s"}))


async def _keep(envelope: Envelope, _: Send) -> Receipt:
    return Receipt(envelope.message_id, envelope.destination)


async def _cancel(envelope: Envelope, proceed: Send) -> Receipt:
    if envelope.key == "bad":
        raise asyncio.CancelledError
    return await proceed(envelope)


async def _meddle(envelope: Envelope, proceed: Send) -> Receipt:
    cast("dict[str, str]", envelope.headers)["seen"] = "yes"
    return await proceed(envelope)


async def test_half_messages_go_through_the_send_interceptors(place: Place) -> None:
    async with MessageTemplate(place.settings(), interceptors=[_stamp]) as template:
        await template.declare(orders)
        async with template.prepare(orders, "x", check="c"):
            pass
        assert [dict(message.headers) async for message in template.browse(orders)] == [{"stamp": "s"}]


async def test_a_half_message_that_an_interceptor_keeps_is_refused(place: Place) -> None:
    async with MessageTemplate(place.settings(), interceptors=[_keep]) as template:
        await template.declare(orders)
        with pytest.raises(SendRefused, match="kept by an interceptor"):
            async with template.prepare(orders, "x", check="c"):
                pass


async def test_a_send_that_cancels_itself_is_a_failure_of_its_pipeline(place: Place) -> None:
    async with MessageTemplate(place.settings(), interceptors=[_cancel]) as template:
        await template.declare(orders)
        with pytest.raises(ExceptionGroup) as caught:
            await template.send_many(orders, ["1"], key="bad")
        assert _texts(caught.value) == ["a send was cancelled from within; it may not have been sent"]


async def test_a_send_that_its_caller_cancels_is_none(place: Place) -> None:
    async def linger(envelope: Envelope, proceed: Send) -> Receipt:
        await proceed(envelope)
        await asyncio.Event().wait()
        raise AssertionError

    async with MessageTemplate(place.settings(), interceptors=[linger]) as template:
        await template.declare(orders)
        async with template.pipeline() as pipeline:
            sent = await pipeline.send(orders, "x")
            sent.cancel()
        assert sent.cancelled()


async def test_nobody_changes_headers_on_their_way(place: Place) -> None:
    async with MessageTemplate(place.settings(), interceptors=[_meddle]) as template:
        await template.declare(orders)
        with pytest.raises(TypeError):
            await template.send(orders, "x", headers={"mine": "yes"})


# -- what is given


async def test_an_empty_message_id_is_refused(place: Place) -> None:
    async with place.template(orders) as template:
        with pytest.raises(InvalidMessage, match="message_id= is empty"):
            await template.send(orders, "x", message_id="")


async def test_in_flight_is_a_whole_number(place: Place) -> None:
    async with place.template(orders) as template:
        with pytest.raises(ConfigurationError, match="in_flight="):
            async with template.pipeline(in_flight=cast("int", "x")):
                pass


async def test_a_received_message_without_a_time_is_sent_on_as_any_other(place: Place) -> None:
    theirs = Envelope(b"x", "theirs", Kind.QUEUE, "their-id", headers={"h": 1}, key="k", subject="s")
    async with place.template(orders) as template:
        received: Message[str] = Message.received("x", theirs)
        await template.send(orders, received)
        (sent,) = [message async for message in template.browse(orders)]
    assert sent.id != "their-id"
    assert (dict(sent.headers), sent.key, sent.subject, sent.correlation_id) == ({"h": 1}, "k", "s", "their-id")
