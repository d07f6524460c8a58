"""`sod bench`: what the server does on this machine, beside the bare detector and PaddleX, and the targets."""
