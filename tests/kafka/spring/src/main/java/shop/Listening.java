package shop;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.springframework.beans.factory.support.DefaultListableBeanFactory;
import org.springframework.kafka.config.ConcurrentKafkaListenerContainerFactory;
import org.springframework.kafka.config.MethodKafkaListenerEndpoint;
import org.springframework.kafka.core.KafkaTemplate;
import org.springframework.kafka.listener.ConcurrentMessageListenerContainer;
import org.springframework.kafka.support.serializer.JsonDeserializer;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.handler.annotation.support.DefaultMessageHandlerMethodFactory;

/** Listeners as @KafkaListener makes them, each in a container of its own, each in a group of its own name. */
public final class Listening implements AutoCloseable {
    private final Clients clients;
    private final Console console;
    private final KafkaTemplate<String, Object> answers;
    private final DefaultMessageHandlerMethodFactory methods = new DefaultMessageHandlerMethodFactory();
    private final List<ConcurrentMessageListenerContainer<?, ?>> running = new ArrayList<>();

    Listening(Clients clients, Console console) {
        this.clients = clients;
        this.console = console;
        answers = new KafkaTemplate<>(clients.producers());
        methods.setBeanFactory(new DefaultListableBeanFactory());
        methods.afterPropertiesSet();
    }

    /** Tells each record as it came. */
    void listen(String topic, String group) throws NoSuchMethodException {
        listenBy("any", topic, group, new ByteArrayDeserializer());
    }

    /** Tells each order: whatever type the record names, or none. */
    void listenTyped(String topic, String group) throws NoSuchMethodException {
        listenBy("placed", topic, group, new JsonDeserializer<>(OrderPlaced.class, Wire.JSON, false));
    }

    /** Tells what the record says that it is, of the types of the shop. */
    void listenByType(String topic, String group) throws NoSuchMethodException {
        var values = new JsonDeserializer<Object>(Wire.JSON);
        values.addTrustedPackages("shop");
        listenBy("named", topic, group, values);
    }

    /** Answers each request. */
    void answer(String topic, String group) throws NoSuchMethodException {
        listenBy("quote", topic, group, new JsonDeserializer<>(QuoteRequest.class, Wire.JSON, false));
    }

    public void any(ConsumerRecord<byte[], Object> record) {
        tell(record, Map.of());
    }

    public void placed(ConsumerRecord<byte[], Object> record) {
        named(record);
    }

    public void named(ConsumerRecord<byte[], Object> record) {
        tell(record, Map.of("class", record.value().getClass().getName()));
    }

    @SendTo
    public Quote quote(QuoteRequest request) {
        return new Quote(20 * request.pieces());
    }

    @Override
    public void close() {
        running.forEach(ConcurrentMessageListenerContainer::stop);
        answers.destroy();
    }

    private void listenBy(String method, String topic, String group, Deserializer<?> values) throws NoSuchMethodException {
        var containers = new ConcurrentKafkaListenerContainerFactory<byte[], Object>();
        containers.setConsumerFactory(consumers(group, values));
        containers.setReplyTemplate(answers);
        var endpoint = new MethodKafkaListenerEndpoint<byte[], Object>();
        endpoint.setId(method + "@" + topic);
        endpoint.setTopics(topic);
        endpoint.setGroupId(group);
        endpoint.setBean(this);
        endpoint.setMethod(method(method));
        endpoint.setMessageHandlerMethodFactory(methods);
        var container = containers.createListenerContainer(endpoint);
        container.start();
        running.add(container);
    }

    @SuppressWarnings({"rawtypes", "unchecked"})
    private org.springframework.kafka.core.ConsumerFactory consumers(String group, Deserializer values) {
        return clients.consumers(group, values);
    }

    private static java.lang.reflect.Method method(String name) throws NoSuchMethodException {
        return Listening.class.getMethod(name, name.equals("quote") ? QuoteRequest.class : ConsumerRecord.class);
    }

    private void tell(ConsumerRecord<byte[], Object> record, Map<String, Object> more) {
        var told = new LinkedHashMap<String, Object>(Map.of("to", record.topic()));
        told.putAll(Wire.record(record));
        told.putAll(more);
        try {
            console.say(told);
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
