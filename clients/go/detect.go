// Detects small objects in an image. Usage: detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

type request struct {
	Image     []byte   `json:"image"` // encoding/json encodes bytes as base64
	Visualize bool     `json:"visualize"`
	Threshold *float64 `json:"threshold,omitempty"`
	Model     string   `json:"model,omitempty"`
}

type reply struct {
	LogID     string  `json:"logId"`
	ErrorCode *int    `json:"errorCode"`
	ErrorMsg  string  `json:"errorMsg"`
	Result    *result `json:"result"`
}

type result struct {
	DetectedObjects []object `json:"detectedObjects"`
	Image           []byte   `json:"image"`
}

type object struct {
	BBox         []float64 `json:"bbox"`
	CategoryID   int       `json:"categoryId"`
	CategoryName string    `json:"categoryName"`
	Score        float64   `json:"score"`
}

func main() {
	if len(os.Args) < 2 || len(os.Args) > 6 {
		fmt.Fprintln(os.Stderr, "usage: detect IMAGE [URL] [OUTPUT] [THRESHOLD] [MODEL]")
		os.Exit(2)
	}
	arguments := []string{"", "http://127.0.0.1:8080", "out.jpg", "", ""}
	copy(arguments, os.Args[1:])
	image, url, output, threshold, model := arguments[0], arguments[1], arguments[2], arguments[3], arguments[4]
	endpoint := strings.TrimRight(url, "/") + "/small-object-detection"
	if err := run(image, endpoint, output, threshold, model); err != nil {
		fmt.Fprintln(os.Stderr, "detect:", err)
		os.Exit(1)
	}
}

func run(image, endpoint, output, threshold, model string) error {
	found, err := detect(image, endpoint, threshold, model)
	if err != nil {
		return err
	}
	if err := os.WriteFile(output, found.Image, 0o666); err != nil {
		return err
	}
	for _, one := range found.DetectedObjects {
		fmt.Println(one)
	}
	fmt.Printf("%d objects, drawn in %s\n", len(found.DetectedObjects), output)
	return nil
}

// detect sends the image to the server. It returns the objects, and a JPEG of the image with their boxes.
// The threshold and the model are not sent if they are empty.
func detect(image, endpoint, threshold, model string) (*result, error) {
	number, err := parseThreshold(threshold)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(image)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(request{Image: data, Visualize: true, Threshold: number, Model: model})
	if err != nil {
		return nil, err
	}
	status, content, err := post(endpoint, body)
	if err != nil {
		return nil, err
	}
	var parsed reply
	err = json.Unmarshal(content, &parsed)
	if err == nil && parsed.ErrorCode != nil && *parsed.ErrorCode != 0 {
		return nil, fmt.Errorf("the server answered %d: %s (logId %s)", *parsed.ErrorCode, parsed.ErrorMsg, parsed.LogID)
	}
	found := parsed.Result
	if err != nil || parsed.ErrorCode == nil || !found.isComplete() {
		return nil, fmt.Errorf("%s answered HTTP %d without detections: is it the right server?", endpoint, status)
	}
	return found, nil
}

// parseThreshold returns nil for an empty text.
func parseThreshold(text string) (*float64, error) {
	if text == "" {
		return nil, nil
	}
	number, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
		return nil, fmt.Errorf("the threshold is %s: give a number from 0 to 1", text)
	}
	return &number, nil
}

// isComplete reports whether the result has all its fields.
func (found *result) isComplete() bool {
	if found == nil || found.DetectedObjects == nil || found.Image == nil {
		return false
	}
	for _, one := range found.DetectedObjects {
		if len(one.BBox) != 4 {
			return false
		}
	}
	return true
}

// post sends a request. It returns the HTTP status and the body of the response.
func post(endpoint string, body []byte) (int, []byte, error) {
	seconds, err := replySeconds()
	if err != nil {
		return 0, nil, err
	}
	request, err := http.NewRequest(http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("%s is no URL: %w", endpoint, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if key := os.Getenv("SOD_API_KEY"); key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	client := http.Client{Timeout: time.Duration(seconds) * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return 0, nil, fmt.Errorf("no answer from %s: %w", endpoint, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("no answer from %s: %w", endpoint, err)
	}
	return response.StatusCode, content, nil
}

// replySeconds is the timeout of a response in seconds: SOD_TIMEOUT, or 120.
func replySeconds() (int, error) {
	text := os.Getenv("SOD_TIMEOUT")
	if text == "" {
		return 120, nil
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 || seconds > 999999 {
		return 0, fmt.Errorf("SOD_TIMEOUT is %s: give whole seconds, 1 to 999999", text)
	}
	return seconds, nil
}

// String formats the object: class id, class name, score, [left, top, right, bottom].
func (one object) String() string {
	box := make([]string, len(one.BBox))
	for i, side := range one.BBox {
		box[i] = fixed(side)
	}
	return fmt.Sprintf("%d %s %s [%s]", one.CategoryID, one.CategoryName, fixed(one.Score), strings.Join(box, ", "))
}

// fixed formats a number with three decimals, rounded half up, as the samples in all languages do.
func fixed(number float64) string {
	return strconv.FormatFloat(math.Floor(number*1000+0.5)/1000, 'f', 3, 64)
}
