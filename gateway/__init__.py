"""HTTP gateway: PaddleX's REST contract in front of Triton.

HTTP lives in `app`, `routes`, `errors` and `body_limit`; the work in `detector`, `picture_input`, `fetch` and
`triton`, which know nothing of HTTP serving.
"""
