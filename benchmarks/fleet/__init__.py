"""`sod bench fleet`: several Tritons behind gateways, of which some are lost, slow, or new."""
