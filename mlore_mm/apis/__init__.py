"""What the command lines call, usable from Python as well."""

from .browse import browse_dataset
from .config import load_config
from .inference import inference_model, init_model
from .inferencer import MultiTaskInferencer
from .save_predictions import PredictionWriter, save_predictions
from .test import evaluate_model
from .train import train_model
from .trivial import evaluate_trivial

__all__ = [
    'MultiTaskInferencer',
    'PredictionWriter',
    'browse_dataset',
    'evaluate_model',
    'evaluate_trivial',
    'inference_model',
    'init_model',
    'load_config',
    'save_predictions',
    'train_model',
]
