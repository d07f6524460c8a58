"""The wire contract: endpoints, documents, request bodies, content negotiation, responses, OpenAPI."""
