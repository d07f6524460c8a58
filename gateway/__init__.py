"""HTTP gateway: PaddleX's REST contract in front of Triton.

`app` creates and connects the parts, `serve` starts the server. `api` and `http_server` handle HTTP, `images` and
`inference` process images; `limits`, `security` and `observability` surround them, and `demo_page` serves the pages.
"""
