package shop;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ContainerProperties;
import org.springframework.kafka.listener.KafkaMessageListenerContainer;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.kafka.support.TopicPartitionOffset;
import org.springframework.kafka.support.serializer.JsonDeserializer;
import org.springframework.messaging.support.MessageBuilder;

/** What can be ordered. */
final class Commands implements Console.Orders, AutoCloseable {
    private static final int SECONDS = 10;
    private static final TypeReference<Map<String, Object>> MAP = new TypeReference<>() {};

    private final Clients clients;
    private final Listening listening;
    private final Members members;
    private final KafkaTemplate<String, Object> template;

    Commands(Clients clients, Listening listening, Members members) {
        this.clients = clients;
        this.listening = listening;
        this.members = members;
        template = new KafkaTemplate<>(clients.producers());
    }

    @Override
    public Object carryOut(JsonNode order) throws Exception {
        switch (text(order, "do")) {
            case "send" -> send(order);
            case "listen" -> listening.listen(text(order, "topic"), text(order, "group"));
            case "listen-typed" -> listening.listenTyped(text(order, "topic"), text(order, "group"));
            case "listen-by-type" -> listening.listenByType(text(order, "topic"), text(order, "group"));
            case "answer" -> listening.answer(text(order, "topic"), text(order, "group"));
            case "request" -> {
                return request(order);
            }
            case "partitions" -> {
                return partitions(order);
            }
            case "join" ->
                    members.join(
                            text(order, "name"),
                            text(order, "topic"),
                            text(order, "group"),
                            text(order, "metadata"),
                            map(order, "settings"));
            case "leave" -> members.leave(text(order, "name"));
            default -> throw new IllegalArgumentException("there is no such command: " + order.get("do"));
        }
        return null;
    }

    @Override
    public void close() {
        template.destroy();
    }

    private void send(JsonNode order) throws Exception {
        var message =
                MessageBuilder.withPayload(payload(order))
                        .copyHeaders(map(order, "headers"))
                        .setHeader(KafkaHeaders.TOPIC, text(order, "topic"))
                        .setHeader(KafkaHeaders.KEY, order.hasNonNull("key") ? text(order, "key") : null)
                        .build();
        template.send(message).get(SECONDS, TimeUnit.SECONDS);
    }

    /** Returns what is answered, and the headers of the answer. */
    private Object request(JsonNode order) throws Exception {
        var topic = text(order, "answers");
        var numbers = new ArrayList<TopicPartitionOffset>();
        order.required("partitions").forEach(each -> numbers.add(new TopicPartitionOffset(topic, each.asInt(), 0L)));
        var values = new JsonDeserializer<>(Quote.class, Wire.JSON, false);
        var replies =
                new KafkaMessageListenerContainer<String, Quote>(
                        new org.springframework.kafka.core.DefaultKafkaConsumerFactory<>(
                                clients.consuming(UUID.randomUUID().toString()),
                                new org.apache.kafka.common.serialization.StringDeserializer(),
                                values),
                        new ContainerProperties(numbers.toArray(TopicPartitionOffset[]::new)));
        var asking = new ReplyingKafkaTemplate<String, Object, Quote>(clients.producers(), replies);
        asking.setBinaryCorrelation(order.required("binary").asBoolean());
        asking.setSharedReplyTopic(true);
        asking.start();
        try {
            var record = new ProducerRecord<String, Object>(text(order, "topic"), payload(order));
            if (numbers.size() > 1) {
                // Which of them the template reads it says by itself if it is one.
                record.headers().add(KafkaHeaders.REPLY_TOPIC, topic.getBytes(StandardCharsets.UTF_8));
            }
            var answer = asking.sendAndReceive(record, java.time.Duration.ofSeconds(SECONDS)).get();
            var headers = new java.util.LinkedHashMap<String, String>();
            answer.headers().forEach(each -> headers.put(each.key(), new String(each.value(), StandardCharsets.ISO_8859_1)));
            return Map.of("payload", answer.value(), "headers", headers, "partition", answer.partition());
        } finally {
            asking.stop();
            asking.destroy();
        }
    }

    /** Returns the partitions that Java's producer chooses for keys. */
    private static List<Integer> partitions(JsonNode order) {
        var chosen = new ArrayList<Integer>();
        order.required("keys")
                .forEach(
                        key ->
                                chosen.add(
                                        BuiltInPartitioner.partitionForKey(
                                                key.asText().getBytes(StandardCharsets.UTF_8), order.required("count").asInt())));
        return chosen;
    }

    private static Object payload(JsonNode order) {
        try {
            return Wire.JSON.convertValue(order.get("payload"), Class.forName(text(order, "type")));
        } catch (ClassNotFoundException error) {
            throw new IllegalArgumentException(error);
        }
    }

    private static String text(JsonNode order, String name) {
        return order.required(name).asText();
    }

    private static Map<String, Object> map(JsonNode order, String name) {
        return order.hasNonNull(name) ? Wire.JSON.convertValue(order.get(name), MAP) : Map.of();
    }
}
