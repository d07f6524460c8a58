"""The accuracy check: every artefact is compared with Paddle Inference before it is installed. Knows no engine."""
