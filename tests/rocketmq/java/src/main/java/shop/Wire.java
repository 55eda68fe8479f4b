package shop;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Messages as they are told on the console. */
final class Wire {
    static final ObjectMapper JSON = new ObjectMapper();

    /** Tells all of a message; its body is Base64 there. */
    static Map<String, Object> message(Message message) {
        var told = new LinkedHashMap<String, Object>();
        told.put("body", message.getBody());
        told.put("properties", message.getProperties());
        if (message instanceof MessageExt stored) {
            told.put("message", stored.getMsgId());
            told.put("queue", stored.getQueueId());
            told.put("offset", stored.getQueueOffset());
        }
        return told;
    }

    private Wire() {}
}
