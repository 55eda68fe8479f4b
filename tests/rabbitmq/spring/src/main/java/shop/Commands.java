package shop;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.springframework.amqp.AmqpException;
import org.springframework.amqp.core.Binding;
import org.springframework.amqp.core.CustomExchange;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessagePostProcessor;
import org.springframework.amqp.core.MessageProperties;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.rabbit.connection.ConnectionFactory;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.support.converter.Jackson2JsonMessageConverter;
import org.springframework.beans.PropertyAccessorFactory;
import org.springframework.core.ParameterizedTypeReference;

/** What can be ordered. */
final class Commands implements Console.Orders, AutoCloseable {
    private static final int SECONDS = 10;
    private static final TypeReference<Map<String, Object>> MAP = new TypeReference<>() {};

    private final Listening listening;
    private final RabbitAdmin admin;
    private final RabbitTemplate template;

    Commands(ConnectionFactory connections, Listening listening) {
        this.listening = listening;
        admin = new RabbitAdmin(connections);
        template = new RabbitTemplate(connections);
        template.setMessageConverter(new Jackson2JsonMessageConverter());
        template.setMandatory(true);
        template.setReplyTimeout(TimeUnit.SECONDS.toMillis(SECONDS));
    }

    @Override
    public Object carryOut(JsonNode order) throws Exception {
        switch (text(order, "do")) {
            case "declare-exchange" ->
                    admin.declareExchange(
                            new CustomExchange(text(order, "name"), text(order, "kind"), true, false, map(order, "arguments")));
            case "declare-queue" ->
                    admin.declareQueue(new Queue(text(order, "name"), true, false, false, map(order, "arguments")));
            case "declare-binding" ->
                    admin.declareBinding(
                            new Binding(
                                    text(order, "queue"),
                                    Binding.DestinationType.QUEUE,
                                    text(order, "exchange"),
                                    text(order, "key"),
                                    map(order, "arguments")));
            case "send" -> send(order);
            case "listen" -> listening.listen(text(order, "queue"));
            case "listen-typed" -> listening.listenTyped(text(order, "queue"));
            case "answer" -> listening.answer(text(order, "queue"));
            case "request" -> {
                return Wire.payload(answered(request(order)));
            }
            case "request-plain" -> {
                return Wire.message(answered(requestPlain(order)));
            }
            default -> throw new IllegalArgumentException("there is no such command: " + order.get("do"));
        }
        return null;
    }

    @Override
    public void close() {
        template.destroy();
    }

    private void send(JsonNode order) throws Exception {
        var sent = new CorrelationData();
        template.convertAndSend(text(order, "exchange"), text(order, "key"), payload(order), described(order), sent);
        var confirm = sent.getFuture().get(SECONDS, TimeUnit.SECONDS);
        if (!confirm.isAck()) {
            throw new AmqpException("not confirmed: " + confirm.getReason());
        }
        if (sent.getReturned() != null) {
            throw new AmqpException("returned: " + sent.getReturned().getReplyText());
        }
    }

    private Object request(JsonNode order) throws Exception {
        var exchange = text(order, "exchange");
        var key = text(order, "key");
        if (!order.hasNonNull("into")) {
            // What the answer is, its own __TypeId__ says.
            return template.convertSendAndReceive(exchange, key, payload(order), described(order));
        }
        var into = ParameterizedTypeReference.forType(Class.forName(text(order, "into")));
        return template.convertSendAndReceiveAsType(exchange, key, payload(order), described(order), into);
    }

    private Message requestPlain(JsonNode order) {
        var plain = template.getMessageConverter().toMessage(payload(order), new MessageProperties());
        var message = described(order).postProcessMessage(plain);
        return template.sendAndReceive(text(order, "exchange"), text(order, "key"), message);
    }

    private static <T> T answered(T answer) {
        if (answer == null) {
            throw new AmqpException("no answer within " + SECONDS + " s");
        }
        return answer;
    }

    private static Object payload(JsonNode order) {
        return as(order.get("payload"), text(order, "type"));
    }

    private static MessagePostProcessor described(JsonNode order) {
        return message -> {
            var properties = message.getMessageProperties();
            properties.setHeaders(merged(properties.getHeaders(), headers(order)));
            PropertyAccessorFactory.forBeanPropertyAccess(properties).setPropertyValues(map(order, "properties"));
            return message;
        };
    }

    private static Map<String, Object> headers(JsonNode order) {
        var headers = new LinkedHashMap<>(map(order, "headers"));
        map(order, "classes").forEach((name, kind) -> headers.compute(name, (__, value) -> as(value, (String) kind)));
        return headers;
    }

    private static Object as(Object value, String kind) {
        try {
            return Wire.JSON.convertValue(value, Class.forName(kind));
        } catch (ClassNotFoundException error) {
            throw new IllegalArgumentException(error);
        }
    }

    private static Map<String, Object> merged(Map<String, Object> first, Map<String, Object> second) {
        var merged = new LinkedHashMap<>(first);
        merged.putAll(second);
        return merged;
    }

    private static String text(JsonNode order, String name) {
        return order.required(name).asText();
    }

    private static Map<String, Object> map(JsonNode order, String name) {
        return order.hasNonNull(name) ? Wire.JSON.convertValue(order.get(name), MAP) : Map.of();
    }
}
