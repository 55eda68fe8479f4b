package shop;

import java.util.HashMap;
import java.util.Map;
import org.apache.kafka.clients.CommonClientConfigs;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;
import org.springframework.kafka.core.DefaultKafkaProducerFactory;
import org.springframework.kafka.support.serializer.JsonSerializer;

/** How the clients of this program are set. */
final class Clients {
    private final String servers;

    Clients(String servers) {
        this.servers = servers;
    }

    Map<String, Object> common() {
        var common = new HashMap<String, Object>();
        common.put(CommonClientConfigs.BOOTSTRAP_SERVERS_CONFIG, servers);
        return common;
    }

    DefaultKafkaProducerFactory<String, Object> producers() {
        var settings = common();
        settings.put(ProducerConfig.ACKS_CONFIG, "all");
        return new DefaultKafkaProducerFactory<>(settings, new StringSerializer(), new JsonSerializer<>(Wire.JSON));
    }

    Map<String, Object> consuming(String group) {
        var settings = common();
        settings.put(ConsumerConfig.GROUP_ID_CONFIG, group);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        settings.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        settings.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
        settings.put(ConsumerConfig.PARTITION_ASSIGNMENT_STRATEGY_CONFIG, CooperativeStickyAssignor.class.getName());
        return settings;
    }

    <T> DefaultKafkaConsumerFactory<byte[], T> consumers(String group, Deserializer<T> values) {
        return new DefaultKafkaConsumerFactory<>(consuming(group), new ByteArrayDeserializer(), values);
    }
}
