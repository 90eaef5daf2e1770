"""Evaluates a checkpoint on the test set of a config."""

from mmengine.config import Config

from mlore_mm.apis.inference.save_predictions import PredictionWriter
from mlore_mm.apis.training.config import check_checkpoint
from mlore_mm.registry import RUNNERS
from mlore_mm.utils.threads import describe_threads


def evaluate_model(cfg: Config, checkpoint: str, **options) -> dict[str, float]:
    """The metrics of :func:`run_test`, as in ``{'depth/RMSE': 0.5}``."""
    return run_test(cfg, checkpoint, **options)[0]


def run_test(
    cfg: Config,
    checkpoint: str,
    *,
    out_dir: str | None = None,
    show: bool = False,
    show_dir: str | None = None,
    wait_time: float = 2.0,
    tta: bool = False,
    tasks: list[str] | None = None,
    dtype: str | None = None,
    compile: bool | dict = False,
) -> tuple[dict[str, float], dict[str, dict]]:
    """Evaluate a checkpoint on the test set of the config, on request with files of its predictions.

    Args:
        cfg: A config as :func:`load_config` returns it; it is changed in place.
        checkpoint: File or URL.
        out_dir: Where raw predictions go, a folder per task.
        show: Open a window per image.
        show_dir: Where panels go: photo, and prediction beside ground truth for every task; one PNG per image.
        wait_time: Seconds that a window stays open.
        tta: Average over flips and scales, by ``tta_model`` and ``tta_pipeline`` of the config.
        tasks: Predict and evaluate these of the model's tasks only.
        dtype: 'fp32', 'bf16' or 'fp16', in place of that of ``test_cfg``.
        compile: Compile the network, see :func:`compile_network`.

    Returns:
        The metrics, as in ``{'depth/RMSE': 0.5}``, and which tasks' predictions were not finite
        (``MultiTaskEvaluator.not_finite``), empty where all was well.

    Raises:
        ValueError: Options that do not fit the config, no such checkpoint, or a checkpoint of other tasks.
    """
    cfg.load_from, cfg.resume = check_checkpoint(checkpoint), False
    if tasks:
        cfg.eval_tasks = list(tasks)
    if show or show_dir:
        _draw_all(cfg, show, show_dir, wait_time)
    if tta:
        _use_tta(cfg)
    if compile:
        cfg.compile = compile
    if dtype:
        cfg.test_cfg.dtype = dtype
        cfg.test_cfg.pop('fp16', None)
    runner = RUNNERS.build(cfg)
    runner.logger.info(f'Testing with {describe_threads()} per process (set by OMP_NUM_THREADS)')
    if out_dir:
        runner.register_hook(PredictionWriter(out_dir))
    metrics = runner.test()
    return metrics, getattr(runner.test_evaluator, 'not_finite', {})


def _draw_all(cfg: Config, show: bool, show_dir: str | None, wait_time: float) -> None:
    hook = cfg.get('default_hooks', {}).get('visualization')
    if hook is None:
        raise ValueError(
            'Images are drawn by the visualization hook, but the config has none: add '
            "default_hooks.visualization=dict(type='MultiTaskVisualizationHook') or inherit default_runtime.py."
        )
    hook.update(draw=True, show=show, wait_time=wait_time, out_dir=show_dir)


def _use_tta(cfg: Config) -> None:
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if missing:
        raise ValueError(f'Test-time augmentation (--tta) needs {missing} in the config.')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.model = dict(cfg.tta_model, module=cfg.model)
