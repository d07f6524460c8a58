"""From a Paddle inference model to a checked ONNX detector: `python -m export --help`.

`cli` parses, `pipeline` runs the steps: `inference_config` (what the model expects), `paddle_model` (cut before its
NMS, run as the reference), `convert` (paddle2onnx), `onnx_model` (our interface), `check` (compare the two on
`pictures`), `artefacts` (put the files in place).
"""
