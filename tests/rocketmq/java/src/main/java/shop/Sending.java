package shop;

import java.util.UUID;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** Producers, each started when it is first needed. */
final class Sending implements AutoCloseable {
    private static final int MILLIS = 10_000;

    private final String servers;
    private DefaultMQProducer plain;
    private TransactionMQProducer deciding;

    Sending(String servers) {
        this.servers = servers;
    }

    String send(Message message) throws Exception {
        return stored(plain().send(message));
    }

    /** Sends to the queue of what it is ordered by. */
    String sendOrdered(Message message, String by) throws Exception {
        return stored(plain().send(message, new SelectMessageQueueByHash(), by));
    }

    String sendDelayed(Message message, long millis) throws Exception {
        message.setDelayTimeMs(millis);
        return stored(plain().send(message));
    }

    String sendByLevel(Message message, int level) throws Exception {
        message.setDelayTimeLevel(level);
        return stored(plain().send(message));
    }

    /** Sends a half message, and decides at once, or when the broker asks. */
    String sendInTransaction(Message message, String decide) throws Exception {
        return stored(deciding().sendMessageInTransaction(message, decide));
    }

    /** Returns the answer. */
    Message request(Message message) throws Exception {
        return plain().request(message, MILLIS);
    }

    @Override
    public void close() {
        if (plain != null) {
            plain.shutdown();
        }
        if (deciding != null) {
            deciding.shutdown();
        }
    }

    private DefaultMQProducer plain() throws Exception {
        if (plain == null) {
            plain = set(new DefaultMQProducer(UUID.randomUUID().toString()));
        }
        return plain;
    }

    private TransactionMQProducer deciding() throws Exception {
        if (deciding == null) {
            var made = new TransactionMQProducer(UUID.randomUUID().toString());
            made.setTransactionListener(new Deciding());
            deciding = set(made);
        }
        return deciding;
    }

    private <P extends DefaultMQProducer> P set(P producer) throws Exception {
        producer.setNamesrvAddr(servers);
        producer.setInstanceName(UUID.randomUUID().toString());
        producer.setSendMsgTimeout(MILLIS);
        producer.start();
        return producer;
    }

    private static String stored(SendResult result) {
        if (result.getSendStatus() != SendStatus.SEND_OK) {
            throw new IllegalStateException(result.toString());
        }
        return result.getMsgId();
    }

    /** Does as the order says: commit, rollback, or commit when it is asked. */
    private static final class Deciding implements TransactionListener {
        @Override
        public LocalTransactionState executeLocalTransaction(Message message, Object decide) {
            return switch ((String) decide) {
                case "commit" -> LocalTransactionState.COMMIT_MESSAGE;
                case "rollback" -> LocalTransactionState.ROLLBACK_MESSAGE;
                default -> LocalTransactionState.UNKNOW;
            };
        }

        @Override
        public LocalTransactionState checkLocalTransaction(MessageExt message) {
            return LocalTransactionState.COMMIT_MESSAGE;
        }
    }
}
