"""Looking at data, models, logs and scores."""
