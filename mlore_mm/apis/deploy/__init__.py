"""Exporting a model, and comparing the export with the model."""
