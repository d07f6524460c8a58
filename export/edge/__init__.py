"""The edge model: one ONNX Runtime file for phones and browsers, with its resize and its NMS, and the web app."""
