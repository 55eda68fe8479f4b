package shop;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.springframework.amqp.core.Message;
import org.springframework.amqp.core.MessageListener;
import org.springframework.amqp.rabbit.config.SimpleRabbitListenerContainerFactory;
import org.springframework.amqp.rabbit.connection.ConnectionFactory;
import org.springframework.amqp.rabbit.listener.MethodRabbitListenerEndpoint;
import org.springframework.amqp.rabbit.listener.SimpleMessageListenerContainer;
import org.springframework.amqp.support.converter.Jackson2JavaTypeMapper.TypePrecedence;
import org.springframework.amqp.support.converter.Jackson2JsonMessageConverter;
import org.springframework.messaging.handler.annotation.support.DefaultMessageHandlerMethodFactory;

/** Listeners as @RabbitListener makes them, each in a container of its own. */
public final class Listening implements AutoCloseable {
    private final ConnectionFactory connections;
    private final Console console;
    private final SimpleRabbitListenerContainerFactory containers = new SimpleRabbitListenerContainerFactory();
    private final DefaultMessageHandlerMethodFactory methods = new DefaultMessageHandlerMethodFactory();
    private final List<SimpleMessageListenerContainer> running = new ArrayList<>();

    Listening(ConnectionFactory connections, Console console) {
        this.connections = connections;
        this.console = console;
        var converter = new Jackson2JsonMessageConverter();
        converter.setTypePrecedence(TypePrecedence.INFERRED);
        containers.setConnectionFactory(connections);
        containers.setMessageConverter(converter);
        // What cannot be converted shall not come again and again.
        containers.setDefaultRequeueRejected(false);
        methods.afterPropertiesSet();
    }

    /** Tells each message as it came. */
    void listen(String queue) {
        var container = new SimpleMessageListenerContainer(connections);
        container.setQueueNames(queue);
        container.setMessageListener((MessageListener) message -> tell(message, Map.of()));
        start(container);
    }

    /** Tells each message, and what the method got. */
    void listenTyped(String queue) throws NoSuchMethodException {
        listenBy("placed", queue, OrderPlaced.class, Message.class);
    }

    /** Answers each request. */
    void answer(String queue) throws NoSuchMethodException {
        listenBy("quote", queue, QuoteRequest.class);
    }

    public void placed(OrderPlaced order, Message message) {
        tell(message, Wire.payload(order));
    }

    public Quote quote(QuoteRequest request) {
        return new Quote(20 * request.pieces());
    }

    @Override
    public void close() {
        running.forEach(SimpleMessageListenerContainer::destroy);
    }

    private void listenBy(String method, String queue, Class<?>... parameters) throws NoSuchMethodException {
        var endpoint = new MethodRabbitListenerEndpoint();
        endpoint.setId(method + "@" + queue);
        endpoint.setQueueNames(queue);
        endpoint.setBean(this);
        endpoint.setMethod(Listening.class.getMethod(method, parameters));
        endpoint.setMessageHandlerMethodFactory(methods);
        start(containers.createListenerContainer(endpoint));
    }

    /** Returns when the container consumes. */
    private void start(SimpleMessageListenerContainer container) {
        container.afterPropertiesSet();
        container.start();
        running.add(container);
    }

    private void tell(Message message, Map<String, Object> more) {
        var told = new LinkedHashMap<String, Object>(Map.of("queue", message.getMessageProperties().getConsumerQueue()));
        told.putAll(Wire.message(message));
        told.putAll(more);
        try {
            console.say(told);
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
