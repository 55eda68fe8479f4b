package shop;

import java.io.IOException;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Consumers of Java's own client, each a member of a group in a thread of its own. */
final class Members implements AutoCloseable {
    private static final Duration A_WHILE = Duration.ofMillis(100);

    private final Clients clients;
    private final Console console;
    private final Map<String, Member> members = new ConcurrentHashMap<>();

    Members(Clients clients, Console console) {
        this.clients = clients;
        this.console = console;
    }

    /** Has one join that tells each record, commits what it told, and writes something beside that. */
    void join(String name, String topic, String group, String metadata, Map<String, Object> settings) {
        var all = clients.consuming(group);
        all.putAll(settings);
        all.values().removeIf(""::equals);
        var member = new Member(name, topic, metadata, all);
        members.put(name, member);
        member.start();
    }

    /** Returns when it has left. */
    void leave(String name) throws InterruptedException {
        var member = members.remove(name);
        member.consumer.wakeup();
        member.join();
    }

    @Override
    public void close() throws InterruptedException {
        for (var name : members.keySet()) {
            leave(name);
        }
    }

    private final class Member extends Thread implements ConsumerRebalanceListener {
        private final KafkaConsumer<byte[], byte[]> consumer;
        private final String topic;
        private final String metadata;
        private final Map<TopicPartition, OffsetAndMetadata> done = new HashMap<>();

        Member(String name, String topic, String metadata, Map<String, Object> settings) {
            super(name);
            this.topic = topic;
            this.metadata = metadata;
            consumer = new KafkaConsumer<>(settings, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        }

        @Override
        public void run() {
            try (consumer) {
                consumer.subscribe(java.util.List.of(topic), this);
                while (true) {
                    for (var record : consumer.poll(A_WHILE)) {
                        tell(record);
                        done.put(
                                new TopicPartition(record.topic(), record.partition()),
                                new OffsetAndMetadata(record.offset() + 1, metadata));
                    }
                    commit();
                }
            } catch (WakeupException left) {
                // It was told to. What is done is committed before a partition is given up.
            } catch (Exception error) {
                error.printStackTrace();
                say(Map.of("to", getName(), "error", error.toString()));
            }
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            say(Map.of("to", getName(), "partitions", consumer.assignment().size()));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            commit();
            say(Map.of("to", getName(), "partitions", consumer.assignment().size() - partitions.size()));
        }

        private void commit() {
            if (done.isEmpty()) {
                return;
            }
            try {
                consumer.commitSync(done);
                done.clear();
            } catch (RebalanceInProgressException later) {
                // Others come or go: it is taken after the next poll.
            }
        }

        private void tell(ConsumerRecord<byte[], byte[]> record) {
            var told = new LinkedHashMap<String, Object>(Map.of("to", getName()));
            told.putAll(Wire.record(record));
            say(told);
        }

        private void say(Map<String, Object> what) {
            try {
                console.say(what);
            } catch (IOException error) {
                throw new IllegalStateException(error);
            }
        }
    }
}
