"""Training from a config."""

from mmengine.config import Config
from torch import nn

from mlore_mm.apis.training.config import check_checkpoint
from mlore_mm.engine.checkpoints import has_checkpoint
from mlore_mm.registry import RUNNERS
from mlore_mm.utils.threads import describe_threads


def train_model(
    cfg: Config,
    *,
    resume: str | None = None,
    amp: bool = False,
    auto_scale_lr: bool = False,
    validate: bool = True,
    tasks: list[str] | None = None,
    compile: bool | dict = False,
) -> nn.Module:
    """Train what the config describes; checkpoints and logs go to ``cfg.work_dir``.

    Args:
        cfg: A config as :func:`load_config` returns it; it is changed in place.
        resume: A checkpoint to go on from, or 'auto' for the newest whole one of the work folder if there is one.
        amp: Train in mixed precision: fp16 with a loss scale on a GPU, bf16 on a CPU.
        auto_scale_lr: Scale the learning rate with the total batch size, by ``auto_scale_lr`` of the config.
        validate: Evaluate on the validation set now and then.
        tasks: Train these tasks only.
        compile: Compile the network, by these options of ``torch.compile``; see :func:`compile_network`.

    Returns:
        The trained model.

    Raises:
        ValueError: Options that do not fit the config or the machine, or a mistake in the config.
    """
    if tasks:
        cfg.task_names = list(tasks)
    if compile:
        cfg.compile = compile
    if amp:
        _use_amp(cfg)
    if auto_scale_lr:
        if not cfg.get('auto_scale_lr', {}).get('base_batch_size'):
            raise ValueError('--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config.')
        cfg.auto_scale_lr.enable = True
    if not validate:
        cfg.val_dataloader = cfg.val_cfg = cfg.val_evaluator = None
    _set_resume(cfg, resume)
    runner = RUNNERS.build(cfg)
    runner.logger.info(f'Training computes with {describe_threads()} in each process (OMP_NUM_THREADS sets it)')
    return runner.train()


def _use_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ValueError(f"--amp replaces an optim_wrapper of type 'OptimWrapper', but the config has {kind!r}.")
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _set_resume(cfg: Config, resume: str | None) -> None:
    """mmengine resumes from ``load_from`` where both are set, so 'auto' takes it away once there is something newer."""
    if resume is None:
        return
    if resume != 'auto':
        cfg.load_from, cfg.resume = check_checkpoint(resume), True
    elif has_checkpoint(cfg.work_dir):
        cfg.load_from, cfg.resume = None, True
