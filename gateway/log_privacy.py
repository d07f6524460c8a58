"""What other libraries would log of a request's secrets, and do not."""

import logging


def keep_secrets_out_of_logs() -> None:
    """Whatever the log level: no image URL, which may carry a token, and no query string of a request.

    httpx logs the URL of every fetch; httpcore, at debug level, hosts, and the headers of redirects.
    """
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").addFilter(_without_query)


def _without_query(record: logging.LogRecord) -> bool:
    # (client, method, path with query, HTTP version, status)
    if isinstance(record.args, tuple):
        record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
    return True
