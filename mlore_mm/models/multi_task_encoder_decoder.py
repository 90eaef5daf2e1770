"""The multi-task model: encoder, decoder, criterion, and per-task decoding of predictions."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.structures import PixelData
from torch import Tensor

from mlore_mm.models.adapters import adapt, all_called, fold_adapters, set_adapters_training, without_adapters
from mlore_mm.models.encoder_depth import freeze_stages
from mlore_mm.models.encoder_facts import check_levels, encoder_facts, fill_head, fill_preprocessor
from mlore_mm.models.encoding import build_backbone, encode
from mlore_mm.models.features import Features
from mlore_mm.models.losses.groups import check_groups
from mlore_mm.models.original_frame import resize_maps, to_original
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.models.partially_dynamic import apply_rules, compact_layers
from mlore_mm.models.size_groups import size_groups
from mlore_mm.models.sliding_windows import check_windows, slide_inference
from mlore_mm.models.train_steps import STEPS, check_step, step_one_by_one
from mlore_mm.registry import MODELS, class_of
from mlore_mm.routing import trace_routing
from mlore_mm.structures import MultiTaskDataSample
from mlore_mm.tasks import TaskSet, check_task_names
from mlore_mm.utils.accepted_keys import accepted_keys
from mlore_mm.utils.time_budget import spent


@MODELS.register_module()
class MultiTaskEncoderDecoder(BaseModel):
    """One network for several dense tasks; what ``EncoderDecoder`` is in mmsegmentation.

    The segmentor owns the loop over tasks: it calls the backbone as the backbone wants it (once, once per task, or once
    with the tasks' names, see :func:`mlore_mm.models.encoding.encode`), for the tasks whose features the head needs.

    Args:
        backbone: Config of any mmseg or mmpretrain backbone, or of ours.
        decode_head: Config of a :class:`MultiTaskHead`.
        tasks: Name to task config, in the order that checkpoints keep. ``bind_tasks`` fills it in from the top level
            of the config.
        aux_tasks: Names among ``tasks`` that are supervised, but not predicted.
        neck: Config of a module between backbone and head; the head's ``in_channels`` are then to be given, unless its
            attribute ``keeps_levels`` says that channels and strides stay what they were.
        criterion: Config of the criterion.
        frozen_backbone: Encoder without gradients, in evaluation mode.
        frozen_stages: Freeze the stem and so many stages of the encoder, of whatever kind; 0 is the stem alone.
        partially_dynamic: Rules that make convolutions and experts partially dynamic, each a dict with ``modules``, a
            pattern of names, and options, see :func:`mlore_mm.models.partially_dynamic.apply_rules`.
        adapter: Config of what is trained in a frozen encoder in place of its weights, such as ``dict(type='LoRA')``.
        folded_tasks: Call a backbone that runs per task once for all tasks, where it offers that.
        gradient_surgery: Config of a :class:`GradientSurgery`, such as ``dict(type='UPGrad')``, any method of torchjd;
            used in training.
        train_cfg: ``step`` 'joint' (one backward pass for all tasks) or 'one_by_one' (one for each task, then a step
            of the optimizer).
        test_cfg: ``mode`` 'whole' or 'slide' (with ``crop_size`` and ``stride`` as (h, w); ``windows_at_once`` of
            them are a batch, by default 4 on a GPU and 1 on a CPU), and ``tasks``, the names to predict, and
            ``groups``, the groups of auxiliary logits to predict as well. ``resize``: what is brought to the size of
            the original image, 'logits', or 'predictions' as benchmark family A does (class ids to the nearest pixel,
            values bilinearly).
        data_preprocessor: Config of :class:`MultiTaskDataPreprocessor`.
        init_cfg: As in mmengine.

    Raises:
        ValueError: No tasks were handed in, or ``test_cfg`` names an unknown mode or task.
    """

    config_keys = dict(
        test_cfg=dict(
            mode={'whole', 'slide'},
            crop_size=None,
            stride=None,
            windows_at_once=None,
            tasks=None,
            groups=None,
            resize={'logits', 'predictions'},
        ),
        train_cfg=dict(step=set(STEPS)),
    )

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        tasks: Mapping | None = None,
        aux_tasks: Sequence[str] = (),
        neck: dict | None = None,
        criterion: dict | None = None,
        frozen_backbone: bool = False,
        frozen_stages: int | None = None,
        adapter: dict | None = None,
        partially_dynamic: Sequence[Mapping] = (),
        folded_tasks: bool = True,
        gradient_surgery: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if not tasks:
            raise ValueError(
                'MultiTaskEncoderDecoder got no tasks. Configs hand them over by mlore_mm.tasks.bind_tasks(cfg). '
                'RUNNERS.build(cfg), MultiTaskRunner.from_cfg(cfg) and init_model(cfg) call it, scripts do where the '
                "config has runner_type='mlore_mm.MultiTaskRunner'; Runner.from_cfg(cfg) of mmengine, which "
                "mmsegmentation's tools/test.py calls, does not: give it the config of the work folder, or what "
                'tools/misc/print_config.py CONFIG --bound OUT.py writes.'
            )
        tasks = TaskSet(tasks, aux_tasks)
        backbone = build_backbone(backbone, tasks)
        preprocessor = data_preprocessor or dict(type='MultiTaskDataPreprocessor')
        preprocessor = fill_preprocessor(preprocessor, backbone) if isinstance(preprocessor, dict) else preprocessor
        # Built here and not by mmengine, whose registry needs a default scope to find our class.
        super().__init__(MODELS.build(preprocessor), init_cfg)
        self.tasks = tasks
        self.aux_tasks, self.folded_tasks = self.tasks.aux, folded_tasks
        self.test_cfg = dict(test_cfg or {})
        self.eval_tasks = self._checked_test_cfg()
        self.backbone = backbone
        self.neck = MODELS.build(neck) if neck else None
        self.decode_head = MODELS.build(dict(tasks=self.tasks, **self._filled(decode_head)))
        if self.neck is None:
            check_levels(self.backbone, self.decode_head)
        self.decode_head.evaluated_groups = frozenset(self.test_cfg.get('groups') or ())
        apply_rules(self, partially_dynamic)
        self.criterion = MODELS.build(dict(tasks=self.tasks, **(criterion or dict(type='MultiTaskCriterion'))))
        check_groups(self.criterion, self.decode_head)
        self.gradient_surgery = MODELS.build(gradient_surgery) if gradient_surgery else None
        if self.gradient_surgery is not None:
            self.gradient_surgery.prepare(len(self.tasks))
        self.train_step_mode = check_step(train_cfg or {}, self.criterion, self.gradient_surgery)
        self.frozen_backbone = frozen_backbone
        self._frozen_parts = [] if frozen_stages is None else freeze_stages(self.backbone, frozen_stages)
        if frozen_backbone:
            self.backbone.requires_grad_(False)
            self._frozen_parts = [self.backbone]
        self.adapter = adapt(self.backbone, adapter, frozen_backbone, frozen_stages)
        self._adapter_checked = self.adapter is None
        self.train()

    def _filled(self, head: dict) -> dict:
        """The head's config, with what the encoder knows better than a config."""
        cls = class_of(head)
        if cls is None or not (self.neck is None or getattr(self.neck, 'keeps_levels', False)):
            return head
        return fill_head(head, accepted_keys(cls).names, lambda: encoder_facts(self.backbone, self.tasks.names))

    def _checked_test_cfg(self) -> list[str]:
        mode = self.test_cfg.get('mode', 'whole')
        if mode not in ('whole', 'slide'):
            raise ValueError(f"test_cfg.mode is 'whole' or 'slide', but got {mode!r}.")
        if self.test_cfg.get('resize', 'logits') not in ('logits', 'predictions'):
            raise ValueError(f"test_cfg.resize is 'logits' or 'predictions', but got {self.test_cfg['resize']!r}.")
        if mode == 'slide':
            check_windows(self.test_cfg.get('crop_size'), self.test_cfg.get('stride'))
        idle = [key for key in ('crop_size', 'stride') if mode == 'whole' and self.test_cfg.get(key)]
        if idle:
            told = f"test_cfg.{' and test_cfg.'.join(idle)} belong to mode='slide' and do nothing with mode='whole'."
            print_log(told, 'current', logging.WARNING)
        wanted = check_task_names(self.test_cfg.get('tasks') or self.tasks.main, self.tasks)
        self._refuse_auxiliary(wanted)
        return [name for name in self.tasks if name in wanted]

    def _refuse_auxiliary(self, names: Sequence[str]) -> None:
        auxiliary = [name for name in names if name in self.tasks.aux]
        if auxiliary:
            raise ValueError(
                f'{auxiliary} are auxiliary tasks of this model: supervised, and not predicted. Those that it predicts '
                f'are {list(self.tasks.main)}; first predictions are groups, see test_cfg.groups.'
            )

    # ---- parts ---------------------------------------------------------------------------------------------------
    def extract_feat(self, inputs: Tensor, tasks: Sequence[str] | None = None) -> Features:
        """Images (B, C, H, W) to features of all tasks or the named ones."""
        names = self._names(tasks, self.tasks)
        learns = self.adapter is not None or not self.frozen_backbone
        watched = nullcontext() if self._adapter_checked else all_called(self.backbone)
        with watched, torch.set_grad_enabled(torch.is_grad_enabled() and learns):
            feats = encode(self.backbone, inputs, names, self.tasks.names, self.folded_tasks)
        self._adapter_checked = True
        return feats if self.neck is None else feats.map(self.neck)

    def decode(self, inputs: Tensor, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Images to the head's output, for all tasks or the named ones."""
        return self._decode(inputs, tasks)[1]

    def _decode(self, inputs: Tensor, tasks: Sequence[str] | None) -> tuple[Features, MultiTaskOutput]:
        return self.network(self, inputs, self._names(tasks, self.tasks))

    @staticmethod
    def network(model: 'MultiTaskEncoderDecoder', inputs: Tensor, names: list[str]) -> tuple[Features, MultiTaskOutput]:
        """Features and the head's output for the named tasks, in the model's order; what ``compile_network`` compiles.

        The model is an argument, so that a copy of a compiled model computes with its own weights.
        """
        feats = model.extract_feat(inputs, model.decode_head.required_tasks(names))
        return feats, model.decode_head(feats, names)

    def encode_decode(
        self, inputs: Tensor, tasks: Sequence[str] | None = None, groups: Sequence[str] = ()
    ) -> dict[str, Tensor]:
        """Images (B, C, H, W) to logits (B, C_t, H, W) per task at the size of the input.

        Those of the named groups of auxiliary logits come under '<group>/<task>'.
        """
        output = self.decode(inputs, tasks)
        logits = dict(output.logits)
        for group in groups:
            logits.update({f'{group}/{name}': x for name, x in output.group(group).items()})
        # In fp32 from here on: what is resized, compared and summed would lose digits in 16 bits.
        return {name: resize_maps(_full_precision(x), inputs.shape[-2:]) for name, x in logits.items()}

    def switch_to_deploy(self, **options) -> None:
        """Fold what can be folded at inference, in place.

        Weights saved afterwards load with ``deploy=True`` of the head, and without ``adapter``.
        """
        self.eval()
        if self.adapter is not None:
            fold_adapters(self.backbone)
            self.adapter = None
        compact_layers(self)
        if hasattr(self.decode_head, 'switch_to_deploy'):
            self.decode_head.switch_to_deploy(**options)

    def train(self, mode: bool = True):
        super().train(mode)
        for part in self._frozen_parts:  # their statistics stay
            part.eval()
        if self.adapter is not None:
            set_adapters_training(self.backbone, mode)
        return self

    def init_weights(self) -> None:
        """As mmengine's; the encoder's own weights are loaded under their own names."""
        with without_adapters(self.backbone):
            super().init_weights()

    def train_step(self, data: dict, optim_wrapper) -> dict:
        """As mmengine's, or one task after the other where ``train_cfg.step`` says so."""
        if self.train_step_mode == 'one_by_one':
            return step_one_by_one(self, data, optim_wrapper)
        return super().train_step(data, optim_wrapper)

    # ---- modes ---------------------------------------------------------------------------------------------------
    def forward(self, inputs: Tensor, data_samples=None, mode: str = 'tensor', tasks: Sequence[str] | None = None):
        """The three modes of mmengine; ``tasks`` restricts each to the named tasks.

        - 'loss': dict of losses; every key that contains 'loss' is summed by mmengine.
        - 'predict': the data samples with ``pred``.
        - 'tensor': logits (B, C_t, H, W) per task.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples, tasks)
        if mode == 'predict':
            return self.predict(inputs, data_samples, tasks)
        if mode == 'tensor':
            return self.encode_decode(inputs, self._names(tasks, self.tasks))
        raise ValueError(f"mode is 'loss', 'predict' or 'tensor', but got {mode!r}.")

    def loss(self, inputs: Tensor, data_samples: Sequence, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
        """Weighted losses by log key."""
        tasks = self._names(tasks, self.tasks)
        with trace_routing() as trace:
            feats, output = self._decode(inputs, tasks)
        output = output.restricted_to(tasks)
        losses = self._criterion_losses(output, data_samples, inputs.shape[-2:], tasks, trace, feats)
        if self.gradient_surgery is not None and self.training and torch.is_grad_enabled():
            losses.update(self.gradient_surgery(feats, losses, output))
        return losses

    def _criterion_losses(
        self, output: MultiTaskOutput, samples, size, tasks: Sequence[str], trace, feats: Features
    ) -> dict[str, Tensor]:
        context = self.criterion.needs_context
        labelled = {*tasks, *(name for logits in output.auxiliary.values() for name in logits)}
        wanted = [name for name in self.tasks if context or name in labelled]
        targets = {name: self._stack_targets(name, samples, size) for name in wanted}
        metas = [sample.metainfo for sample in samples] if context else ()
        more = dict(feats=feats) if getattr(self.criterion, 'needs_features', False) else {}
        return self.criterion(output, targets, trace, metas, **more)

    def predict(self, inputs: Tensor, data_samples: Sequence | None = None, tasks: Sequence[str] | None = None) -> list:
        """Data samples with ``pred`` at the original size of each image."""
        samples = data_samples or [MultiTaskDataSample() for _ in inputs]
        groups = sorted(self.decode_head.evaluated_groups)
        for sample, maps in zip(samples, self._read(inputs, samples, tasks, 'decode', groups), strict=True):
            sample.pred = PixelData(**{name: x for name, x in maps.items() if '/' not in name})
            if groups:
                sample.groups = PixelData(**{name: x for name, x in maps.items() if '/' in name})
        return samples

    def predict_scores(self, inputs: Tensor, data_samples: Sequence, tasks: Sequence[str] | None = None) -> list[dict]:
        """Per image the scores (C_t, H, W) of each task, in the original image's frame: padding, flip, scale undone."""
        return self._read(inputs, data_samples, tasks, 'activate')

    def _read(
        self, inputs: Tensor, samples: Sequence, tasks: Sequence[str] | None, method: str, groups: Sequence[str] = ()
    ) -> list[dict]:
        """Per image and task what the task's ``method`` makes of the logits, in the original image's frame.

        Every image is computed at the size that it has alone, whatever it was batched with.
        """
        names, found = self._names(tasks, self.eval_tasks), {}
        self._refuse_auxiliary(names)
        late = self.test_cfg.get('resize', 'logits') == 'predictions'
        for indices, images in size_groups(inputs, samples, self):
            logits = self.inference(images, names, groups)
            added = (inputs.shape[-2] - images.shape[-2], inputs.shape[-1] - images.shape[-1])
            for i, index in enumerate(indices):
                found[index] = {
                    key: to_original(self.tasks[key.rpartition('/')[2]], x[i], samples[index], method, added, late)
                    for key, x in logits.items()
                }
        return [found[index] for index in range(len(samples))]

    def inference(self, inputs: Tensor, tasks: Sequence[str], groups: Sequence[str] = ()) -> dict[str, Tensor]:
        """Logits at input size by whole-image or sliding-window inference; groups as in ``encode_decode``."""
        with spent('model', inputs.device):
            return self._inference(inputs, tasks, groups)

    def _inference(self, inputs: Tensor, tasks: Sequence[str], groups: Sequence[str]) -> dict[str, Tensor]:
        if self.test_cfg.get('mode', 'whole') == 'whole':
            return self.encode_decode(inputs, tasks, groups)
        crop, stride = self.test_cfg['crop_size'], self.test_cfg['stride']
        at_once = self.test_cfg.get('windows_at_once', 1 if inputs.device.type == 'cpu' else 4)
        predict = partial(self.encode_decode, tasks=tasks, groups=groups)
        return slide_inference(predict, inputs, crop, stride, at_once)

    def _names(self, tasks: Sequence[str] | None, default: Sequence[str]) -> list[str]:
        wanted = list(default) if tasks is None else check_task_names(tasks, self.tasks)
        return [name for name in self.tasks if name in wanted]

    # ---- labels ----------------------------------------------------------------------------------------------------
    def _stack_targets(self, name: str, samples: Sequence, size: torch.Size) -> Tensor:
        """(B, C, H, W) labels of one task, padded with its ignore value where the batch was padded."""
        targets = []
        for sample in samples:
            target = sample.gt.get(name)
            if target is None:
                raise ValueError(
                    f"The data sample of {sample.get('img_path', 'an image')} has no label field for task '{name}', "
                    f'only {sorted(sample.gt.keys())}: the data set and the model were given different tasks.'
                )
            pad = (0, size[1] - target.shape[-1], 0, size[0] - target.shape[-2])
            targets.append(F.pad(target, pad, value=self.tasks[name].ignore_value) if any(pad) else target)
        return torch.stack(targets)


def _full_precision(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
