"""What the server is compared with: the engine alone, PaddleX, published figures."""
