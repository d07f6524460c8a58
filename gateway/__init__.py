"""HTTP gateway: PaddleX's REST contract in front of Triton.

HTTP lives in `app`, `routes`, `request_body`, `answers`, `errors` and `body_limit`; the work in `detector`, `batch`,
`image_input`, `fetch` and `triton`, which know nothing of HTTP serving.
"""
