package shop;

/** RocketMQ's own client for Java, that does what lines of JSON order it to, until they end. */
public final class Program {
    public static void main(String[] arguments) throws Exception {
        var console = new Console(Wire.JSON);
        try (var listening = new Listening(arguments[0], console);
                var sending = new Sending(arguments[0])) {
            console.obey(new Commands(sending, listening));
        }
        // Some of its threads go on for a while.
        System.exit(0);
    }
}
