"""From a Paddle inference model to what Triton loads: `python -m export --help`, docs/export.md.

`cli` parses. `pipeline` starts from a Paddle model: `inference_config` (what it expects), `paddle_model` (cut before
its NMS, run as the reference), `convert` (paddle2onnx), `onnx_model` (our interface), `check` (FP32 against Paddle),
`fp16`, `openvino_int8`. `installed` starts from the model repository: `tensorrt_plan`, `tensorrt_check`. Whatever is
made passes the `gate`, under the limits of `precision`, before `artefacts` puts it in place; `report` tells of it.
"""
