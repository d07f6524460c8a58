// Detects small objects in an image. Usage: Detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]
// It uses C# 7 only, which both Mono and .NET 8 compile.
using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using Newtonsoft.Json;

internal sealed class DetectException : Exception
{
    public DetectException(string message) : base(message) { }
}

internal sealed class Reply
{
    [JsonProperty("logId")] public string LogId { get; set; }
    [JsonProperty("errorCode")] public int? ErrorCode { get; set; }
    [JsonProperty("errorMsg")] public string ErrorMsg { get; set; }
    [JsonProperty("result")] public Result Result { get; set; }
}

internal sealed class Result
{
    [JsonProperty("detectedObjects")] public List<Found> DetectedObjects { get; set; }
    [JsonProperty("image")] public byte[] Image { get; set; } // Json.NET decodes base64 to bytes
}

internal sealed class Found
{
    [JsonProperty("bbox", Required = Required.Always)] public double[] BBox { get; set; }
    [JsonProperty("categoryId", Required = Required.Always)] public int CategoryId { get; set; }
    [JsonProperty("categoryName", Required = Required.Always)] public string CategoryName { get; set; }
    [JsonProperty("score", Required = Required.Always)] public double Score { get; set; }

    // Formats one object: class id, class name, score, [left, top, right, bottom].
    public override string ToString()
    {
        return $"{CategoryId} {CategoryName} {Fixed(Score)} [{string.Join(", ", BBox.Select(Fixed))}]";
    }

    // Formats a number with three decimals, rounded half up, as the samples in all languages do.
    private static string Fixed(double number)
    {
        return (Math.Floor(number * 1000 + 0.5) / 1000).ToString("F3", CultureInfo.InvariantCulture);
    }
}

internal static class Program
{
    private static int Main(string[] arguments)
    {
        if (arguments.Length < 1 || arguments.Length > 5)
        {
            Console.Error.WriteLine("usage: Detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]");
            return 2;
        }
        var url = arguments.Length > 1 ? arguments[1] : "http://127.0.0.1:8080";
        var output = arguments.Length > 2 ? arguments[2] : "out.jpg";
        var threshold = arguments.Length > 3 ? arguments[3] : "";
        var model = arguments.Length > 4 ? arguments[4] : "";
        Console.OutputEncoding = new UTF8Encoding(false); // prints class names as UTF-8 in every locale
        try
        {
            var result = Detect(arguments[0], url.TrimEnd('/') + "/small-object-detection", threshold, model);
            File.WriteAllBytes(output, result.Image);
            foreach (var found in result.DetectedObjects)
            {
                Console.WriteLine(found);
            }
            Console.WriteLine($"{result.DetectedObjects.Count} objects, drawn in {output}");
            return 0;
        }
        catch (Exception error) when (error is DetectException || error is IOException || error is UnauthorizedAccessException)
        {
            Console.Error.WriteLine("detect: " + error.Message);
            return 1;
        }
    }

    // Sends the image to the server. Returns the objects, and a JPEG of the image with their boxes.
    // The threshold and the model are not sent if they are empty.
    private static Result Detect(string image, string endpoint, string threshold, string model)
    {
        var fields = new Dictionary<string, object> { ["image"] = File.ReadAllBytes(image), ["visualize"] = true };
        if (threshold != "")
        {
            fields["threshold"] = Number(threshold);
        }
        if (model != "")
        {
            fields["model"] = model;
        }
        var body = JsonConvert.SerializeObject(fields);
        var (status, text) = Post(endpoint, body);
        Reply reply;
        try
        {
            reply = JsonConvert.DeserializeObject<Reply>(text);
        }
        catch (Exception error) when (error is JsonException || error is FormatException) // invalid JSON or base64
        {
            reply = null;
        }
        if (reply?.ErrorCode > 0)
        {
            throw new DetectException($"the server answered {reply.ErrorCode}: {reply.ErrorMsg} (logId {reply.LogId})");
        }
        if (reply?.ErrorCode != 0 || reply.Result?.DetectedObjects == null || reply.Result.Image == null)
        {
            throw new DetectException($"{endpoint} answered HTTP {status} without detections: is it the right server?");
        }
        return reply.Result;
    }

    // Sends a request. Returns the HTTP status and the body of the response.
    private static (int Status, string Text) Post(string endpoint, string body)
    {
        if (!Uri.TryCreate(endpoint, UriKind.Absolute, out var address) || !address.Scheme.StartsWith("http"))
        {
            throw new DetectException(endpoint + " is no URL: it should look like http://127.0.0.1:8080");
        }
        var seconds = ReplySeconds();
        using (var client = new HttpClient { Timeout = TimeSpan.FromSeconds(seconds) })
        using (var content = new StringContent(body, Encoding.UTF8, "application/json"))
        {
            var key = Environment.GetEnvironmentVariable("SOD_API_KEY");
            if (!string.IsNullOrEmpty(key))
            {
                client.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
            }
            try
            {
                using (var response = client.PostAsync(address, content).GetAwaiter().GetResult())
                {
                    return ((int)response.StatusCode, response.Content.ReadAsStringAsync().GetAwaiter().GetResult());
                }
            }
            catch (OperationCanceledException)
            {
                throw new DetectException($"no answer from {endpoint}: {seconds} s have passed");
            }
            catch (HttpRequestException error)
            {
                string reason = error.GetBaseException().Message.Split('\n')[0].Trim(); // Mono's has a second line for TLS
                throw new DetectException($"no answer from {endpoint}: {reason}");
            }
        }
    }

    private static double Number(string threshold)
    {
        if (!double.TryParse(threshold, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
        {
            throw new DetectException($"the threshold is {threshold}: give a number from 0 to 1");
        }
        return number;
    }

    // The timeout of a response in seconds: SOD_TIMEOUT, or 120.
    private static int ReplySeconds()
    {
        var text = Environment.GetEnvironmentVariable("SOD_TIMEOUT");
        if (string.IsNullOrEmpty(text))
        {
            return 120;
        }
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)
            || seconds < 1 || seconds > 999999)
        {
            throw new DetectException($"SOD_TIMEOUT is {text}: give whole seconds, 1 to 999999");
        }
        return seconds;
    }
}
