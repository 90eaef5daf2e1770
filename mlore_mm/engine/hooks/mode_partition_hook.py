"""Partially dynamic layers in training: which entries stay dynamic, and how sharply kernels are chosen."""

import time
from collections.abc import Iterable
from itertools import islice

import torch
from mmengine.hooks import Hook
from torch import Tensor, nn

from mlore_mm.models.layers.pad_conv import KernelAttention
from mlore_mm.models.mode_partition import SCORES, densities, linear_weights, partition
from mlore_mm.models.partially_dynamic import describe, partial_layers
from mlore_mm.registry import HOOKS
from mlore_mm.utils.unwrap import bare_model


@HOOKS.register_module()
class IterativeModePartitionHook(Hook):
    """Sets the masks of the model's partially dynamic layers once, before it is trained.

    Losses are those of the first batches of the training, with the model in evaluation mode; nothing but the masks
    changes. The table that is logged has the share of dynamic entries of each layer. Masks are kept in checkpoints, and
    a training that is resumed keeps its own.

    Source: He et al., ACL 2023; see :func:`mlore_mm.models.mode_partition.partition`.

    Args:
        density: The share of entries that stay dynamic.
        num_batches: Batches that are scored; in distributed training each process takes so many.
        rounds: Rounds.
        schedule: 'exponential' or 'linear'.
        scope: 'global' or 'local'.
        score: 'snip', 'grasp', 'synflow', 'magnitude' or 'random'.
        control: None, 'invert' or 'shuffle'.
        kappa_min_per_layer: With scope 'global', the least share that a layer keeps.
        begin: 'before_train' or 'before_train_epoch', of the first epoch.
    """

    def __init__(
        self,
        density: float,
        num_batches: int = 10,
        rounds: int = 1,
        schedule: str = 'exponential',
        scope: str = 'global',
        score: str = 'snip',
        control: str | None = None,
        kappa_min_per_layer: float = 0.0,
        begin: str = 'before_train',
    ) -> None:
        densities(density, rounds, schedule)  # checks them
        if num_batches < 1 or score not in SCORES or begin not in ('before_train', 'before_train_epoch'):
            raise ValueError(
                f"IterativeModePartitionHook needs num_batches >= 1, a score of {SCORES} and begin 'before_train' or "
                f"'before_train_epoch', but got {num_batches}, {score!r} and {begin!r}."
            )
        self.num_batches, self.score, self.begin = num_batches, score, begin
        self.options = dict(
            density=density,
            rounds=rounds,
            schedule=schedule,
            scope=scope,
            score=score,
            control=control,
            kappa_min_per_layer=kappa_min_per_layer,
        )

    def before_train(self, runner) -> None:
        if self.begin == 'before_train':
            self._partition(runner)

    def before_train_epoch(self, runner) -> None:
        if self.begin == 'before_train_epoch':
            self._partition(runner)

    def _partition(self, runner) -> None:
        if runner.iter > 0:
            return
        model, start = bare_model(runner.model), time.time()
        layers = partial_layers(model)
        if not layers:
            raise ValueError(
                'IterativeModePartitionHook found no partially dynamic layer: say which they are by '
                "model.partially_dynamic=[dict(modules='decode_head.*')], or remove the hook."
            )
        needs_data = self.score in ('snip', 'grasp', 'synflow')
        batches = list(islice(_batches(runner.train_dataloader), self.num_batches)) if needs_data else []
        training = model.training
        model.eval()
        try:
            self._run(model, list(layers.values()), batches)
        finally:
            model.train(training)
        seconds = time.time() - start
        runner.logger.info(f'Partition by {self.score} in {seconds:.1f} s, {len(batches)} batches:\n{describe(layers)}')

    def _run(self, model: nn.Module, layers: list, batches: list) -> None:
        if self.score == 'synflow':
            with linear_weights(model):
                partition(layers, lambda: [_output_of_ones(model, batches[0])], **self.options)
            return
        partition(layers, lambda: (_loss(model, batch) for batch in batches), **self.options)


@HOOKS.register_module()
class TemperatureAnnealHook(Hook):
    """Lowers the temperature of all dynamic kernels in a line to 1, iteration by iteration; then it stays.

    ``1 + max(0, (init - 1) (I - i) / I)``. While it is high, all kernels learn; the value is kept in checkpoints and
    used in evaluation. Source: He et al., ACL 2023, after Chen et al., CVPR 2020.

    Args:
        init: Where it starts.
        epochs: I in passes over the training set; published: 15.
        iterations: I itself, instead.
    """

    priority = 'HIGH'  # before the partition, which runs with the first value

    def __init__(self, init: float = 30.0, epochs: float = 15, iterations: int | None = None) -> None:
        if init < 1 or (iterations or epochs) <= 0:
            raise ValueError(
                f'TemperatureAnnealHook needs init >= 1 and epochs or iterations above 0, but got {init}, {epochs} and '
                f'{iterations}.'
            )
        self.init, self.epochs, self.iterations = init, epochs, iterations

    def before_train(self, runner) -> None:
        self._set(runner)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        self._set(runner)

    def _set(self, runner) -> None:
        total = self.iterations or self.epochs * len(runner.train_dataloader)
        value = temperature(self.init, runner.iter, total)
        for module in bare_model(runner.model).modules():
            if isinstance(module, KernelAttention):
                module.temperature.fill_(value)


def temperature(init: float, iteration: int, total: float) -> float:
    """tau of an iteration, counted from 0."""
    return 1 + max(0.0, (init - 1) * (total - iteration) / total)


def _batches(loader) -> Iterable[dict]:
    """The loader's batches from the first, without workers."""
    for indices in loader.batch_sampler:
        yield loader.collate_fn([loader.dataset[index] for index in indices])


def _loss(model, batch: dict) -> Tensor:
    with torch.enable_grad():
        data = model.data_preprocessor(batch, True)
        return model.parse_losses(model(**data, mode='loss'))[0]


def _output_of_ones(model, batch: dict) -> Tensor:
    inputs = model.data_preprocessor(batch, True)['inputs']
    with torch.enable_grad():
        outputs = model(torch.ones_like(inputs[:1]), mode='tensor')
        return sum(x.sum() for x in outputs.values())
