"""Functions behind the command lines, for use from Python: inference, training and testing, analysis, deployment."""

from .analysis.browse import browse_dataset
from .analysis.trivial import evaluate_trivial
from .inference.inferencer import MultiTaskInferencer
from .inference.init_model import inference_model, init_model
from .inference.save_predictions import PredictionWriter, save_predictions
from .training.config import load_config
from .training.test import evaluate_model
from .training.train import train_model

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
