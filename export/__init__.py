"""Exports Paddle inference models to what Triton loads: see `python -m export --help` and docs/export.md.

`cli` parses the command line. `paddle_export` starts from a Paddle model, `tensorrt_export` from a model repository.
The rooms below them: `hub` downloads official models, `paddle` reads and runs Paddle models, `onnx`, `openvino` and
`tensorrt` make the artefacts of one engine each, `verification` compares every artefact with Paddle Inference under the
limits of `precision`, and `triton` writes the model repository.
"""
