package shop;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.module.SimpleModule;
import com.fasterxml.jackson.databind.ser.std.ToStringSerializer;
import com.rabbitmq.client.LongString;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.springframework.amqp.core.Message;
import org.springframework.beans.PropertyAccessorFactory;

/** Messages as they are told on the console. */
final class Wire {
    static final ObjectMapper JSON =
            new ObjectMapper()
                    .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
                    .registerModule(
                            // Spring leaves texts of more than 1024 characters as they are on the wire.
                            new SimpleModule().addSerializer(LongString.class, ToStringSerializer.instance));

    private static final List<String> PROPERTIES =
            List.of(
                    "appId",
                    "contentEncoding",
                    "contentType",
                    "correlationId",
                    "expiration",
                    "messageId",
                    "priority",
                    "receivedDeliveryMode",
                    "receivedExchange",
                    "receivedRoutingKey",
                    "redelivered",
                    "replyTo",
                    "timestamp",
                    "type",
                    "userId");

    /** Tells all of a message, with the classes of its headers, which JSON does not. */
    static Map<String, Object> message(Message message) {
        var told = new LinkedHashMap<String, Object>();
        var properties = PropertyAccessorFactory.forBeanPropertyAccess(message.getMessageProperties());
        var headers = message.getMessageProperties().getHeaders();
        told.put("body", message.getBody());
        told.put("properties", picked(properties::getPropertyValue));
        told.put("headers", headers);
        var classes = new LinkedHashMap<String, String>();
        headers.forEach((name, value) -> classes.put(name, value == null ? "null" : value.getClass().getSimpleName()));
        told.put("classes", classes);
        return told;
    }

    /** Tells a converted payload, and what it was converted to. */
    static Map<String, Object> payload(Object payload) {
        var told = new LinkedHashMap<String, Object>();
        told.put("class", payload.getClass().getName());
        told.put("payload", payload);
        return told;
    }

    private static Map<String, Object> picked(Function<String, Object> read) {
        var picked = new LinkedHashMap<String, Object>();
        PROPERTIES.forEach(name -> picked.put(name, read.apply(name)));
        return picked;
    }

    private Wire() {}
}
