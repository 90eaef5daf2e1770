"""Checkpoint layouts of others to ours and back, as pure functions on dicts of tensors."""
