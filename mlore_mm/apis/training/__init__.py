"""Training and testing from a config."""
