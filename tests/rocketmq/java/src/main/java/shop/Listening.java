package shop;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageExt;

/** Consumers as services in Java have them, each in a group of its own, which takes all from the beginning. */
final class Listening implements AutoCloseable {
    private final String servers;
    private final Console console;
    private final List<DefaultMQPushConsumer> running = new ArrayList<>();
    private DefaultMQProducer answering;

    Listening(String servers, Console console) {
        this.servers = servers;
        this.console = console;
    }

    /** Tells each message of these tags. */
    void listen(String topic, String group, String tags) throws Exception {
        var consumer = consumer(topic, group, tags);
        consumer.registerMessageListener(
                (MessageListenerConcurrently)
                        (found, context) -> {
                            found.forEach(each -> tell(topic, each));
                            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
                        });
        start(consumer);
    }

    /** Tells each message, one after the other of each queue. */
    void listenInOrder(String topic, String group) throws Exception {
        var consumer = consumer(topic, group, "*");
        consumer.registerMessageListener(
                (MessageListenerOrderly)
                        (found, context) -> {
                            found.forEach(each -> tell(topic, each));
                            return ConsumeOrderlyStatus.SUCCESS;
                        });
        start(consumer);
    }

    /** Answers each QuoteRequest with a Quote: 20 for each piece. */
    void answer(String topic, String group) throws Exception {
        answering = new DefaultMQProducer(UUID.randomUUID().toString());
        answering.setNamesrvAddr(servers);
        answering.setInstanceName(UUID.randomUUID().toString());
        answering.start();
        var consumer = consumer(topic, group, "*");
        consumer.registerMessageListener(
                (MessageListenerConcurrently)
                        (found, context) -> {
                            for (var each : found) {
                                try {
                                    var asked = Wire.JSON.readValue(each.getBody(), QuoteRequest.class);
                                    var quote = Wire.JSON.writeValueAsString(new Quote(20 * asked.pieces()));
                                    answering.send(
                                            MessageUtil.createReplyMessage(each, quote.getBytes(StandardCharsets.UTF_8)));
                                } catch (Exception error) {
                                    error.printStackTrace();
                                }
                            }
                            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
                        });
        start(consumer);
    }

    @Override
    public void close() {
        running.forEach(DefaultMQPushConsumer::shutdown);
        if (answering != null) {
            answering.shutdown();
        }
    }

    private DefaultMQPushConsumer consumer(String topic, String group, String tags) throws Exception {
        var consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(servers);
        consumer.setInstanceName(UUID.randomUUID().toString());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(topic, tags);
        return consumer;
    }

    private void start(DefaultMQPushConsumer consumer) throws Exception {
        consumer.start();
        running.add(consumer);
    }

    private void tell(String topic, MessageExt message) {
        var told = new LinkedHashMap<String, Object>(Map.of("to", topic));
        told.putAll(Wire.message(message));
        try {
            console.say(told);
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}
