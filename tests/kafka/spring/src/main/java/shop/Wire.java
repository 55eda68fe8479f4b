package shop;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Headers;

/** Records as they are told on the console. */
final class Wire {
    static final ObjectMapper JSON = new ObjectMapper();

    /** Tells all of a record; what is bytes there is Base64 here. */
    static Map<String, Object> record(ConsumerRecord<byte[], ?> record) {
        var told = new LinkedHashMap<String, Object>();
        told.put("key", record.key());
        told.put("value", record.value());
        told.put("partition", record.partition());
        told.put("offset", record.offset());
        told.put("headers", headers(record.headers()));
        return told;
    }

    private static List<List<Object>> headers(Headers headers) {
        var told = new ArrayList<List<Object>>();
        headers.forEach(header -> told.add(List.of(header.key(), header.value() == null ? new byte[0] : header.value())));
        return told;
    }

    private Wire() {}
}
