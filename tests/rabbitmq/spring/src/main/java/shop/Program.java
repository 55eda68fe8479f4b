package shop;

import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory.ConfirmType;

/** A service on Spring AMQP that does what lines of JSON order it to, until they end. */
public final class Program {
    public static void main(String[] arguments) throws Exception {
        var console = new Console(Wire.JSON);
        var connections = new CachingConnectionFactory(arguments[0], Integer.parseInt(arguments[1]));
        connections.setVirtualHost(arguments[2]);
        connections.setUsername(arguments[3]);
        connections.setPassword(arguments[4]);
        connections.setPublisherConfirmType(ConfirmType.CORRELATED);
        connections.setPublisherReturns(true);
        try (var listening = new Listening(connections, console);
                var commands = new Commands(connections, listening)) {
            console.obey(commands);
        } finally {
            connections.destroy();
        }
        // Without an application context Spring keeps threads for a minute that have nothing to do.
        System.exit(0);
    }
}
