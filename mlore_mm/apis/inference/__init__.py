"""Running a model on photos, videos and cameras, and writing what it predicts."""
