package shop;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.Map;
import org.apache.rocketmq.common.message.Message;

/** What can be ordered. */
final class Commands implements Console.Orders {
    private static final TypeReference<Map<String, String>> TEXTS = new TypeReference<>() {};

    private final Sending sending;
    private final Listening listening;

    Commands(Sending sending, Listening listening) {
        this.sending = sending;
        this.listening = listening;
    }

    @Override
    public Object carryOut(JsonNode order) throws Exception {
        switch (text(order, "do")) {
            case "send" -> {
                return sending.send(message(order));
            }
            case "send-ordered" -> {
                return sending.sendOrdered(message(order), text(order, "by"));
            }
            case "send-delayed" -> {
                return sending.sendDelayed(message(order), order.required("delay").asLong());
            }
            case "send-later" -> {
                return sending.sendByLevel(message(order), order.required("level").asInt());
            }
            case "send-in-transaction" -> {
                return sending.sendInTransaction(message(order), text(order, "decide"));
            }
            case "request" -> {
                return Wire.message(sending.request(message(order)));
            }
            case "listen" -> listening.listen(text(order, "topic"), text(order, "group"), text(order, "tags"));
            case "listen-in-order" -> listening.listenInOrder(text(order, "topic"), text(order, "group"));
            case "answer" -> listening.answer(text(order, "topic"), text(order, "group"));
            default -> throw new IllegalArgumentException("there is no such command: " + order.get("do"));
        }
        return null;
    }

    private static Message message(JsonNode order) throws Exception {
        var message = new Message(text(order, "topic"), order.required("body").binaryValue());
        if (order.hasNonNull("tag")) {
            message.setTags(text(order, "tag"));
        }
        if (order.hasNonNull("keys")) {
            message.setKeys(text(order, "keys"));
        }
        Wire.JSON.convertValue(order.required("properties"), TEXTS).forEach(message::putUserProperty);
        return message;
    }

    private static String text(JsonNode order, String name) {
        return order.required(name).asText();
    }
}
