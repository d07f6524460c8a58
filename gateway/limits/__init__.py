"""How much at once: concurrency, queue, bytes held, body size, deadlines, request rates, worker threads."""
