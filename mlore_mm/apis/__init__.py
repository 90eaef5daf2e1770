"""What the command lines call, usable from Python as well."""

from .config import load_config
from .save_predictions import PredictionWriter, save_predictions
from .test import evaluate_model
from .train import train_model

__all__ = ['PredictionWriter', 'load_config', 'save_predictions', 'evaluate_model', 'train_model']
