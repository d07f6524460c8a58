"""`sod bench`: what the server does on this machine, beside the engine alone and PaddleX, and the targets."""
