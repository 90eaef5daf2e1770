"""One task of a trained model as a config and a checkpoint of their own."""

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mlore_mm.converters.published import build_empty, check_fit
from mlore_mm.engine.checkpoints import write_checkpoint
from mlore_mm.models.one_task import check_separable, choose_experts, keep_task, mixtures
from mlore_mm.tasks import bind_tasks


@dataclass(frozen=True)
class ExtractedTask:
    """A model for one task.

    Attributes:
        task: Its name.
        cfg: Config, not bound.
        state: Weights.
        experts: By mixture of the encoder, ids that the experts had before, and how many there were.
    """

    task: str
    cfg: Config
    state: dict[str, Tensor]
    experts: dict[str, tuple[list[int], int]]

    def write(self, folder: str | Path, stem: str) -> tuple[Path, Path]:
        """``<stem>.py`` and ``<stem>.pth`` in a folder, which is made."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config, checkpoint = folder / f'{stem}.py', folder / f'{stem}.pth'
        self.cfg.dump(str(config))
        write_checkpoint(dict(meta=dict(tasks=[self.task]), state_dict=self.state), str(checkpoint))
        return config, checkpoint


def extract_task(
    cfg: Config,
    model: nn.Module,
    task: str,
    use: Mapping[str, Tensor] | None = None,
    threshold: float = 3.0,
    deploy: bool | str = False,
) -> ExtractedTask:
    """Cut one task out of a model with what it needs: its head, its routers, and the experts that it uses.

    Args:
        cfg: The model's config as :func:`load_config` returns it, not bound.
        model: The trained model; it stays as it is.
        task: Which one.
        use: See :func:`choose_experts`; by default what the encoder counted in training, if it does.
        threshold: See :func:`choose_experts`.
        deploy: Fold the decoder as in :class:`MLoREDecodeHead`, True or 'factors'; for inference only.

    Raises:
        ValueError: The task cannot be extracted, see :func:`check_separable`; the use of experts is not known; a part
            of the model does not say how it is cut; or the decoder has no folded form.
    """
    model = copy.deepcopy(model).cpu().eval()
    check_separable(model, task)
    if use is None:
        use = model.backbone.expert_use(task) if hasattr(model.backbone, 'expert_use') else {}
    sizes = {name: part.mixture.num_experts for name, part in mixtures(model).items()}
    experts = choose_experts(model, use, threshold)
    changes = keep_task(model, task, experts)
    if deploy:
        changes['decode_head'] |= _fold(model.decode_head, deploy)
    cut = cut_config(cfg, task, changes, getattr(model.decode_head, 'auxiliary_groups', None))
    state = {
        key: value.detach().clone()
        for key, value in model.state_dict().items()
        if not key.startswith('criterion.weighting.')
    }
    heads = f'{type(model.backbone).__name__} or {type(model.decode_head).__name__}'
    check_fit(state, build_empty(bind_tasks(copy.deepcopy(cut))), f'{heads} does not say how a task is cut out of it')
    return ExtractedTask(task, cut, state, {name: (ids.tolist(), sizes[name]) for name, ids in experts.items()})


def cut_config(cfg: Config, task: str, changes: Mapping[str, Mapping], groups: Collection[str] | None = None) -> Config:
    """The config of a model for one task: no weights are fetched, no tasks are weighed against each other.

    Args:
        cfg: Of the whole model, not bound.
        task: Which one.
        changes: Options by part of the model.
        groups: Auxiliary groups that its head still makes; None where it does not say.
    """
    cfg = copy.deepcopy(cfg)
    cfg.tasks = {task: cfg.tasks[task]}
    for key in ('task_names', 'aux_tasks', 'eval_tasks', 'work_dir', 'launcher'):
        cfg.pop(key, None)
    cfg.load_from, cfg.resume = None, False
    model = cfg.model
    for key in ('tasks', 'aux_tasks', 'gradient_surgery', 'init_cfg'):
        model.pop(key, None)
    (model.get('test_cfg') or {}).pop('tasks', None)
    criterion = model.get('criterion') or {}
    criterion.pop('weighting', None)
    for key in ('auxiliary', 'auxiliary_weights'):
        for group in [group for group in criterion.get(key) or () if groups is not None and group not in groups]:
            del criterion[key][group]
    model.backbone.pop('init_cfg', None)
    if model.backbone.get('pretrained'):
        model.backbone.pretrained = False
    for part, options in changes.items():
        model[part].update(options)
    best = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    if best.get('save_best') and not best.save_best.startswith(f'{task}/'):
        best.save_best = 'auto'
    return cfg


def _fold(head: nn.Module, deploy: bool | str) -> dict:
    if not hasattr(head, 'switch_to_deploy'):
        raise ValueError(f'{type(head).__name__} has no folded form. Extract without folding it.')
    with torch.no_grad():
        head.switch_to_deploy(precompute=deploy != 'factors')
    return dict(deploy=deploy)
