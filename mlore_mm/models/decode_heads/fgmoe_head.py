"""The FGMoE-style decoder: experts of single tasks and experts of all on a frozen encoder."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mlore_mm.models.decode_heads.base import MultiTaskHead
from mlore_mm.models.features import Features
from mlore_mm.models.layers import DeformableMixer, FineGrainedMixture, GlobalMixture, TaskModules
from mlore_mm.models.layers.fine_grained_mixture import GLOBAL_GATES
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from mlore_mm.tasks import TaskSet


@MODELS.register_module()
class FGMoEHead(MultiTaskHead):
    """FGMoE-style: a shared aggregator, then a mixer and fine-grained experts per task, and experts that tasks share.

    Written from the abstract and a figure's caption of "Multi-Task Dense Prediction Fine-Tuning with Mixture of
    Fine-Grained Experts" (Xu et al., ACM Multimedia 2025, arXiv 2507.19077), whose code and numbers are not known.
    Everything that these leave open is an argument here, and no number of ours is the paper's.

    Args:
        tasks: The model's tasks in order; the segmentor hands them in.
        in_channels: Channels of the used levels.
        embed_dims: C.
        hidden_dims: Hidden width of the base MLP that a task's experts partition; 2 * C by default.
        base_experts: Base MLPs per task.
        granularity: Parts that each of them is cut into.
        shared_experts: Experts of one task that are always on.
        base_top_k: Base MLPs' worth of hidden units at work.
        num_stages: How often mixer and experts repeat.
        mixer: 'deform', 'dwconv' or 'none', see :class:`DeformableMixer`.
        mixer_depth: Repetitions inside a mixer.
        global_gate: 'softmax', 'sigmoid' (one expert), or 'none' for no global experts.
        global_experts: Experts that all tasks share.
        global_top_k: Of them chosen per pixel and task.
        global_dims: Their hidden width; 2 * C by default.
        aggregate_stride: More than 1 merges that many pixels a side after aggregation, for hierarchical encoders.
        upsamples: How often the last map is doubled; twice brings stride 16 to stride 4.
        in_index: Levels taken from the backbone.
        reference_level: Position of the level that sets the grid, the finest by default.
        init_cfg: As in mmengine.
    """

    auxiliary_groups = ()

    def __init__(
        self,
        tasks: TaskSet | Mapping,
        in_channels: Sequence[int],
        embed_dims: int = 256,
        hidden_dims: int | None = None,
        base_experts: int = 4,
        granularity: int = 4,
        shared_experts: int = 1,
        base_top_k: int = 1,
        num_stages: int = 1,
        mixer: str = 'deform',
        mixer_depth: int = 2,
        global_gate: str = 'softmax',
        global_experts: int = 4,
        global_top_k: int = 2,
        global_dims: int | None = None,
        aggregate_stride: int = 1,
        upsamples: int = 2,
        in_index: Sequence[int] | None = None,
        reference_level: int = 0,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(tasks, in_channels, in_index, reference_level, init_cfg)
        if global_gate not in GLOBAL_GATES:
            raise ValueError(f'global_gate is one of {GLOBAL_GATES}, but got {global_gate!r}.')
        names, self.upsamples = list(self.tasks.names), upsamples
        s = aggregate_stride
        self.aggregate = nn.Conv2d(sum(self.in_channels), embed_dims, s, stride=s)
        self.norm = nn.LayerNorm(embed_dims)
        hidden = (hidden_dims or 2 * embed_dims, base_experts, granularity, shared_experts, base_top_k)
        self.stages = nn.ModuleList(
            nn.ModuleDict(
                {
                    task: nn.ModuleDict(
                        dict(
                            mixer=DeformableMixer(embed_dims, mixer_depth, mixer),
                            experts=FineGrainedMixture(
                                embed_dims, *hidden, name=f'decode_head/stage{stage}/experts/{task}'
                            ),
                        )
                    )
                    for task in names
                }
            )
            for stage in range(num_stages)
        )
        self.shared = None
        if global_gate != 'none':
            sizes = (embed_dims, global_dims or 2 * embed_dims, global_experts, global_top_k)
            self.shared = GlobalMixture(names, *sizes, gate=global_gate, name='decode_head/global')
        self.heads = TaskModules(
            names,
            lambda: nn.Sequential(
                nn.Conv2d(embed_dims, embed_dims, 3, padding=1, bias=False), nn.BatchNorm2d(embed_dims), nn.GELU()
            ),
        )
        self.predict = nn.ModuleDict(
            {name: nn.Conv2d(embed_dims, task.out_channels, 1) for name, task in self.tasks.items()}
        )

    def keep_task(self, task: str) -> dict:
        """See :meth:`MultiTaskHead.keep_task`."""
        if self.shared is not None:
            self.shared.keep_task(task)
        return super().keep_task(task)

    def forward(self, feats: Features, tasks: Sequence[str] | None = None) -> MultiTaskOutput:
        """Levels (B, C_l, h_l, w_l) to logits (B, C_t, H, W), H being ``2**upsamples`` times the reference level's."""
        tasks = self.active_tasks(tasks)
        x = self.aggregate(torch.cat(self.to_reference(self.select(feats)), dim=1))
        size = x.shape[-2:]
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        shared = self.shared(tokens, tasks) if self.shared is not None else {}
        logits = {}
        for task in tasks:
            z = self._experts_of(task, tokens, size)
            z = z + shared[task] if shared else z
            logits[task] = self._predict(_maps(z, size), task)
        return MultiTaskOutput(logits=logits)

    def _experts_of(self, task: str, tokens: Tensor, size: Sequence[int]) -> Tensor:
        """Mixer and experts of one task, (B, L, C) to the same."""
        for stage in self.stages:
            u = stage[task]['mixer'](_maps(tokens, size)).flatten(2).transpose(1, 2)
            tokens = u + stage[task]['experts'](u, task)
        return tokens

    def _predict(self, x: Tensor, task: str) -> Tensor:
        """The Conv1x1 stands behind the upsampling in the design; it commutes with it and is cheaper before."""
        x = self.predict[task](self.heads[task](x))
        for _ in range(self.upsamples):
            x = F.interpolate(x, scale_factor=2, mode='bilinear', align_corners=False)
        return x

    def init_weights(self) -> None:
        """1x1 convolutions truncated normal of std 0.02; offsets begin at zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
        super().init_weights()


def _maps(tokens: Tensor, size: Sequence[int]) -> Tensor:
    return tokens.transpose(1, 2).unflatten(2, tuple(size))
