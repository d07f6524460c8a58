<?php
// Detects small objects in an image. Usage: php detect.php IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]
declare(strict_types=1);

// Turn PHP's warnings, such as for a missing file or key, into exceptions.
set_error_handler(fn (int $level, string $message) => throw new ErrorException($message));
exit(main(array_slice($argv, 1)));

function main(array $arguments): int
{
    if (count($arguments) < 1 || count($arguments) > 5) {
        fwrite(STDERR, "usage: php detect.php IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]\n");
        return 2;
    }
    [$image, $url, $output, $threshold, $model] = $arguments + [1 => 'http://127.0.0.1:8080', 'out.jpg', '', ''];
    try {
        [$lines, $overlay] = detect($image, rtrim($url, '/') . '/small-object-detection', options($threshold, $model));
        file_put_contents($output, $overlay);
    } catch (Exception $error) {
        fwrite(STDERR, "detect: {$error->getMessage()}\n");
        return 1;
    }
    foreach ($lines as $line) {
        echo "$line\n";
    }
    echo count($lines), " objects, drawn in $output\n";
    return 0;
}

/** Sends the image to the server. Returns a line for each object, and a JPEG of the image with their boxes. */
function detect(string $image, string $endpoint, array $fields): array
{
    try {
        $data = file_get_contents($image);
    } catch (ErrorException $error) { // its message may not name the file
        throw new RuntimeException("cannot read $image: {$error->getMessage()}");
    }
    [$status, $body] = post($endpoint, json_encode(['image' => base64_encode($data), 'visualize' => true] + $fields));
    try {
        $reply = json_decode($body, true, flags: JSON_THROW_ON_ERROR);
        if ($reply['errorCode'] === 0) {
            ['detectedObjects' => $objects, 'image' => $drawn] = $reply['result'];
            return [array_map('line', $objects), base64_decode($drawn)];
        }
        $sentence = "the server answered {$reply['errorCode']}: {$reply['errorMsg']} (logId {$reply['logId']})";
    } catch (JsonException | ErrorException | TypeError) { // invalid JSON, or a field is missing or of a wrong type
        $sentence = "$endpoint answered HTTP $status without detections: is it the right server?";
    }
    throw new RuntimeException($sentence);
}

/** The fields of the request for the threshold and the model, each absent if it is empty. */
function options(string $threshold, string $model): array
{
    if ($threshold !== '' && !preg_match('/^[0-9]*\.?[0-9]+$/D', $threshold)) {
        throw new RuntimeException("the threshold is $threshold: give a number from 0 to 1");
    }
    return ($threshold === '' ? [] : ['threshold' => (float) $threshold]) + ($model === '' ? [] : ['model' => $model]);
}

/** Sends a request. Returns the HTTP status and the body of the response. */
function post(string $endpoint, string $json): array
{
    $headers = ['Content-Type: application/json'];
    if (getenv('SOD_API_KEY')) {
        $headers[] = 'Authorization: Bearer ' . getenv('SOD_API_KEY');
    }
    $curl = curl_init($endpoint);
    curl_setopt_array($curl, [
        CURLOPT_POSTFIELDS => $json,
        CURLOPT_HTTPHEADER => $headers,
        CURLOPT_PROTOCOLS => CURLPROTO_HTTP | CURLPROTO_HTTPS,
        CURLOPT_CONNECTTIMEOUT => 5,
        CURLOPT_TIMEOUT => replySeconds(),
        CURLOPT_RETURNTRANSFER => true,
    ]);
    $body = curl_exec($curl);
    if ($body === false) {
        throw new RuntimeException("no answer from $endpoint: " . curl_error($curl));
    }
    return [curl_getinfo($curl, CURLINFO_RESPONSE_CODE), $body];
}

/** The timeout of a response in seconds: SOD_TIMEOUT, or 120. */
function replySeconds(): int
{
    $text = getenv('SOD_TIMEOUT') ?: '120';
    if (!preg_match('/^[1-9][0-9]{0,5}$/D', $text)) {
        throw new RuntimeException("SOD_TIMEOUT is $text: give whole seconds, 1 to 999999");
    }
    return (int) $text;
}

/** Formats one object: class id, class name, score, [left, top, right, bottom]. */
function line(array $found): string
{
    $box = implode(', ', array_map('fixed', $found['bbox']));
    return "{$found['categoryId']} {$found['categoryName']} " . fixed($found['score']) . " [$box]";
}

/** Formats a number with three decimals, rounded half up, as the samples in all languages do. */
function fixed(int|float $number): string
{
    return sprintf('%.3F', floor($number * 1000 + 0.5) / 1000);
}
