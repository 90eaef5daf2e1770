"""Weights & Biases with the iteration as the axis of every chart."""

import numpy as np
from mmengine.visualization import WandbVisBackend as _WandbVisBackend

from mlore_mm.registry import VISBACKENDS

STEP = 'step'


@VISBACKENDS.register_module()
class WandbVisBackend(_WandbVisBackend):
    """mmengine's backend for Weights & Biases, over iterations.

    There every value and every picture is a step of its own, so that losses, validations and panels do not share an
    axis. Here each of them carries the iteration that it belongs to. Needs ``pip install wandb``.
    """

    def _init_env(self) -> None:
        super()._init_env()
        self._wandb.define_metric(STEP)
        self._wandb.define_metric('*', step_metric=STEP)

    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        wandb = self.experiment  # the module
        wandb.log({name: wandb.Image(image), STEP: step}, commit=self._commit)

    def add_scalar(self, name: str, value, step: int = 0, **kwargs) -> None:
        self.add_scalars({name: value}, step)

    def add_scalars(self, scalar_dict: dict, step: int = 0, file_path: str | None = None, **kwargs) -> None:
        self.experiment.log({**scalar_dict, STEP: step}, commit=self._commit)

    def close(self) -> None:
        if hasattr(self, '_wandb'):
            self._wandb.finish()
