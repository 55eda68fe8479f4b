package shop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/** Orders come in by lines, and answers and messages go out by lines. */
final class Console {
    interface Orders {
        /** Does what one order says, and returns what to answer. */
        Object carryOut(JsonNode order) throws Exception;
    }

    private final PrintStream out = System.out;
    private final ObjectMapper json;

    Console(ObjectMapper json) {
        this.json = json;
        // What a library prints is no answer.
        System.setOut(System.err);
    }

    void obey(Orders orders) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (var line = lines.readLine(); line != null; line = lines.readLine()) {
            var order = json.readTree(line);
            var answer = new LinkedHashMap<String, Object>(Map.of("id", order.get("id").asInt()));
            try {
                answer.put("ok", orders.carryOut(order));
            } catch (Exception error) {
                error.printStackTrace();
                answer.put("error", error.toString());
            }
            say(answer);
        }
    }

    synchronized void say(Map<String, ?> what) throws IOException {
        out.write(json.writeValueAsBytes(what));
        out.write('\n');
        out.flush();
    }
}
