"""From a request's `image` to encoded bytes: base64, URL fetching behind an egress guard, header checks."""
