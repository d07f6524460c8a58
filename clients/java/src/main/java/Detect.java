import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpConnectTimeoutException;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.net.http.HttpTimeoutException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Detects small objects in an image. Usage: {@code java Detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]}. */
public final class Detect {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    // Print class names as UTF-8 in every locale.
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    private static final PrintStream ERR = new PrintStream(System.err, true, StandardCharsets.UTF_8);

    private record Detections(List<String> lines, byte[] overlay) {}

    public static void main(String[] arguments) {
        System.exit(run(arguments));
    }

    private static int run(String[] arguments) {
        if (arguments.length < 1 || arguments.length > 5) {
            ERR.println("usage: java Detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]");
            return 2;
        }
        String url = arguments.length > 1 ? arguments[1] : "http://127.0.0.1:8080";
        String output = arguments.length > 2 ? arguments[2] : "out.jpg";
        String threshold = arguments.length > 3 ? arguments[3] : "";
        String model = arguments.length > 4 ? arguments[4] : "";
        try {
            String endpoint = url.replaceAll("/+$", "") + "/small-object-detection";
            Detections found = detect(Path.of(arguments[0]), endpoint, options(threshold, model));
            write(Path.of(output), found.overlay());
            found.lines().forEach(OUT::println);
            OUT.println(found.lines().size() + " objects, drawn in " + output);
            return 0;
        } catch (IOException | IllegalArgumentException error) {
            ERR.println("detect: " + error.getMessage());
            return 1;
        }
    }

    /** The fields of the request for the threshold and the model, each absent if it is empty. */
    private static Map<String, Object> options(String threshold, String model) {
        Map<String, Object> fields = new HashMap<>();
        if (!threshold.isEmpty()) {
            if (!threshold.matches("[0-9]*\\.?[0-9]+")) {
                throw new IllegalArgumentException("the threshold is " + threshold + ": give a number from 0 to 1");
            }
            fields.put("threshold", Double.parseDouble(threshold));
        }
        if (!model.isEmpty()) {
            fields.put("model", model);
        }
        return fields;
    }

    /** Sends the image to the server. Returns a line for each object, and a JPEG of the image with their boxes. */
    private static Detections detect(Path image, String endpoint, Map<String, Object> options) throws IOException {
        Map<String, Object> fields = new HashMap<>(options);
        fields.put("image", read(image)); // Jackson encodes bytes as base64
        fields.put("visualize", true);
        HttpResponse<byte[]> response = post(endpoint, MAPPER.writeValueAsBytes(fields));
        try {
            JsonNode reply = MAPPER.readTree(response.body());
            int code = reply.required("errorCode").intValue();
            if (code != 0) {
                String message = reply.required("errorMsg").asText();
                String logId = reply.required("logId").asText();
                throw new IOException("the server answered " + code + ": " + message + " (logId " + logId + ")");
            }
            JsonNode result = reply.required("result");
            List<String> lines = new ArrayList<>();
            for (JsonNode found : result.required("detectedObjects")) {
                lines.add(line(found));
            }
            byte[] overlay = result.required("image").binaryValue();
            if (overlay == null) {
                throw new IllegalArgumentException("the image is not a text");
            }
            return new Detections(lines, overlay);
        } catch (JsonProcessingException | IllegalArgumentException error) { // invalid JSON or base64, or a missing field
            String status = " answered HTTP " + response.statusCode();
            throw new IOException(endpoint + status + " without detections: is it the right server?", error);
        }
    }

    private static HttpResponse<byte[]> post(String endpoint, byte[] body) throws IOException {
        Duration limit = Duration.ofSeconds(replySeconds());
        HttpRequest.Builder request = request(endpoint).timeout(limit).header("Content-Type", "application/json");
        String key = System.getenv("SOD_API_KEY");
        if (key != null && !key.isEmpty()) {
            request.header("Authorization", "Bearer " + key);
        }
        HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(5)).build();
        try {
            return client.send(request.POST(BodyPublishers.ofByteArray(body)).build(), BodyHandlers.ofByteArray());
        } catch (HttpConnectTimeoutException error) {
            throw new IOException("no answer from " + endpoint + ": the host cannot be reached", error);
        } catch (HttpTimeoutException error) {
            throw new IOException("no answer from " + endpoint + ": " + limit.toSeconds() + " s have passed", error);
        } catch (IOException error) { // that of a refused connection has no message
            String reason = error.getMessage() == null ? "the connection was refused" : error.getMessage();
            throw new IOException("no answer from " + endpoint + ": " + reason, error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IOException("no answer from " + endpoint + ": interrupted", error);
        }
    }

    private static HttpRequest.Builder request(String endpoint) throws IOException {
        try {
            return HttpRequest.newBuilder(URI.create(endpoint));
        } catch (IllegalArgumentException error) {
            throw new IOException(endpoint + " is no URL: it should look like http://127.0.0.1:8080", error);
        }
    }

    private static byte[] read(Path path) throws IOException {
        try {
            return Files.readAllBytes(path);
        } catch (IOException error) { // the message of some is only the path
            throw new IOException("cannot read " + path + ": " + error, error);
        }
    }

    private static void write(Path path, byte[] bytes) throws IOException {
        try {
            Files.write(path, bytes);
        } catch (IOException error) {
            throw new IOException("cannot write " + path + ": " + error, error);
        }
    }

    /** The timeout of a response in seconds: SOD_TIMEOUT, or 120. */
    private static int replySeconds() {
        String text = System.getenv("SOD_TIMEOUT");
        if (text == null || text.isEmpty()) {
            return 120;
        }
        if (!text.matches("[1-9][0-9]{0,5}")) {
            throw new IllegalArgumentException("SOD_TIMEOUT is " + text + ": give whole seconds, 1 to 999999");
        }
        return Integer.parseInt(text);
    }

    /** Formats one object: class id, class name, score, [left, top, right, bottom]. */
    private static String line(JsonNode found) {
        List<String> box = new ArrayList<>();
        found.required("bbox").forEach(side -> box.add(fixed(side.asDouble())));
        String name = found.required("categoryId").asInt() + " " + found.required("categoryName").asText();
        return name + " " + fixed(found.required("score").asDouble()) + " [" + String.join(", ", box) + "]";
    }

    /** Formats a number with three decimals, rounded half up, as the samples in all languages do. */
    private static String fixed(double number) {
        return String.format(Locale.ROOT, "%.3f", Math.floor(number * 1000 + 0.5) / 1000);
    }
}
