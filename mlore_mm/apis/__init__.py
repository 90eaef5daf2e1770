"""What the command lines call, usable from Python as well."""

from .browse import browse_dataset
from .config import load_config
from .save_predictions import PredictionWriter, save_predictions
from .test import evaluate_model
from .train import train_model
from .trivial import evaluate_trivial

__all__ = [
    'PredictionWriter',
    'browse_dataset',
    'evaluate_model',
    'evaluate_trivial',
    'load_config',
    'save_predictions',
    'train_model',
]
