package shop;

/** A service on Spring for Apache Kafka, and Java's own client, that does what lines of JSON order it to, until they end. */
public final class Program {
    public static void main(String[] arguments) throws Exception {
        // It says much of what goes well.
        System.setProperty("org.slf4j.simpleLogger.defaultLogLevel", "warn");
        var console = new Console(Wire.JSON);
        var clients = new Clients(arguments[0]);
        try (var listening = new Listening(clients, console);
                var members = new Members(clients, console);
                var commands = new Commands(clients, listening, members)) {
            console.obey(commands);
        }
        // Without an application context Spring keeps threads for a while that have nothing to do.
        System.exit(0);
    }
}
