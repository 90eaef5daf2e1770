"""Several processes, on machines with an accelerator and without."""

from datetime import timedelta

import torch.distributed as torch_dist
from mmengine.device import get_device
from mmengine.model import convert_sync_batchnorm, revert_sync_batchnorm
from torch import nn

from mlore_mm.registry import MODELS


def init_gloo(launcher: str, dist_cfg: dict) -> None:
    """Start process groups over gloo; mmengine's own start selects a CUDA device first, which fails without one."""
    if launcher != 'pytorch':
        raise ValueError(
            f"Several processes without an accelerator are started with torchrun (launcher 'pytorch', see "
            f"tools/dist_train.sh), but the launcher is '{launcher}'."
        )
    timeout = dist_cfg.get('timeout')
    options = dict(timeout=timedelta(seconds=timeout)) if timeout is not None else {}
    torch_dist.init_process_group(backend='gloo', **options)


def synchronise_batch_norms(model: nn.Module, kind: str | None) -> nn.Module:
    """The model with batch norms over all processes; ``kind`` is the config's ``sync_bn``, None for plain ones.

    PyTorch's own run on accelerators only, so on the CPU they are ours.
    """
    if get_device() != 'cpu':
        return convert_sync_batchnorm(model, kind) if kind else model
    model = revert_sync_batchnorm(model)
    return MODELS.get('PortableSyncBatchNorm').convert(model) if kind else model
