// Detects small objects in an image. Usage: detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]
#include <httplib.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "base64.hpp"

using nlohmann::json;

namespace {

struct Detections {
    std::vector<std::string> lines;
    std::string overlay;
};

std::string read_file(const std::string& path) {
    if (std::filesystem::is_directory(path)) {
        throw std::runtime_error("cannot read " + path + ": it is a directory");
    }
    std::ifstream file(path, std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    if (!file) {
        throw std::runtime_error("cannot read " + path + ": " + std::strerror(errno));
    }
    return bytes;
}

void write_file(const std::string& path, const std::string& bytes) {
    std::ofstream file(path, std::ios::binary);
    file << bytes;
    file.close();
    if (!file) {
        throw std::runtime_error("cannot write " + path + ": " + std::strerror(errno));
    }
}

// The timeout of a response in seconds: SOD_TIMEOUT, or 120.
int reply_seconds() {
    const char* text = std::getenv("SOD_TIMEOUT");
    if (text == nullptr || *text == '\0') {
        return 120;
    }
    if (!std::regex_match(text, std::regex("[1-9][0-9]{0,5}"))) {
        throw std::runtime_error(std::string("SOD_TIMEOUT is ") + text + ": give whole seconds, 1 to 999999");
    }
    return std::atoi(text);
}

// Formats a number with three decimals, rounded half up, as the samples in all languages do.
std::string fixed(double number) {
    char text[64];
    std::snprintf(text, sizeof text, "%.3f", std::floor(number * 1000 + 0.5) / 1000);
    return text;
}

// Formats one object: class id, class name, score, [left, top, right, bottom].
std::string line(const json& found) {
    std::string box;
    for (const json& side : found.at("bbox")) {
        box += (box.empty() ? "" : ", ") + fixed(side.get<double>());
    }
    return std::to_string(found.at("categoryId").get<int>()) + " " + found.at("categoryName").get<std::string>() + " " +
           fixed(found.at("score").get<double>()) + " [" + box + "]";
}

// Describes an error of httplib, whose own texts are only the names of the errors.
std::string reason(httplib::Error error, int seconds) {
    switch (error) {
        case httplib::Error::Connection:
            return "the connection was refused, or there is no such host";
        case httplib::Error::ConnectionTimeout:
            return "the host cannot be reached";
        case httplib::Error::Read:
            return "the connection broke off, or nothing came for " + std::to_string(seconds) + " s";
        default:
            return httplib::to_string(error);
    }
}

httplib::Result post(const std::string& endpoint, const std::string& body) {
    std::smatch parts;
    if (!std::regex_match(endpoint, parts, std::regex("(https?://[^/]+)(/.*)"))) {
        throw std::runtime_error(endpoint + " is no URL: it should look like http://127.0.0.1:8080");
    }
    const int seconds = reply_seconds();
    httplib::Client client(parts[1].str());
    client.set_connection_timeout(std::min(seconds, 5));
    client.set_read_timeout(seconds);
    client.set_write_timeout(seconds);
    if (const char* key = std::getenv("SOD_API_KEY"); key != nullptr && *key != '\0') {
        client.set_bearer_token_auth(key);
    }
    httplib::Result response = client.Post(parts[2].str(), body, "application/json");
    if (!response) {
        throw std::runtime_error("no answer from " + endpoint + ": " + reason(response.error(), seconds));
    }
    return response;
}

// The fields of the request for the threshold and the model, each absent if it is empty.
json options(const std::string& threshold, const std::string& model) {
    json fields = json::object();
    if (!threshold.empty()) {
        if (!std::regex_match(threshold, std::regex("[0-9]*\\.?[0-9]+"))) {
            throw std::runtime_error("the threshold is " + threshold + ": give a number from 0 to 1");
        }
        fields["threshold"] = std::atof(threshold.c_str());
    }
    if (!model.empty()) {
        fields["model"] = model;
    }
    return fields;
}

// Sends the image to the server. Returns a line for each object, and a JPEG of the image with their boxes.
Detections detect(const std::string& image, const std::string& endpoint, const json& fields) {
    json body = {{"image", base64::encode(read_file(image))}, {"visualize", true}};
    body.update(fields);
    const httplib::Result response = post(endpoint, body.dump());
    std::string sentence;
    try {
        const json reply = json::parse(response->body);
        const int code = reply.at("errorCode").get<int>();
        if (code == 0) {
            Detections detections;
            for (const json& found : reply.at("result").at("detectedObjects")) {
                detections.lines.push_back(line(found));
            }
            detections.overlay = base64::decode(reply.at("result").at("image").get<std::string>());
            return detections;
        }
        sentence = "the server answered " + std::to_string(code) + ": " + reply.at("errorMsg").get<std::string>() +
                   " (logId " + reply.at("logId").get<std::string>() + ")";
    } catch (const std::exception&) {  // invalid JSON or base64, or a field is missing or of a wrong type
        sentence = endpoint + " answered HTTP " + std::to_string(response->status) +
                   " without detections: is it the right server?";
    }
    throw std::runtime_error(sentence);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || argc > 6) {
        std::cerr << "usage: detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]\n";
        return 2;
    }
    std::string url = argc > 2 ? argv[2] : "http://127.0.0.1:8080";
    const std::string output = argc > 3 ? argv[3] : "out.jpg";
    const std::string threshold = argc > 4 ? argv[4] : "";
    const std::string model = argc > 5 ? argv[5] : "";
    url.erase(url.find_last_not_of('/') + 1);
    try {
        const Detections detections = detect(argv[1], url + "/small-object-detection", options(threshold, model));
        write_file(output, detections.overlay);
        for (const std::string& one : detections.lines) {
            std::cout << one << '\n';
        }
        std::cout << detections.lines.size() << " objects, drawn in " << output << '\n';
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "detect: " << error.what() << '\n';
        return 1;
    }
}
