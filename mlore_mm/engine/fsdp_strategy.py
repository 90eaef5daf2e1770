"""Fully sharded data parallel training: weights, gradients and optimizer state are split over the processes."""

from collections.abc import Callable, Sequence

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.device import get_device
from mmengine.dist import is_distributed, is_main_process
from mmengine.logging import print_log
from mmengine.model import MMFullyShardedDataParallel, is_model_wrapper
from mmengine.optim import OptimWrapper
from torch import nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from mlore_mm.engine.checkpoints import (
    check_pretrained_files,
    read_checkpoint,
    require_all_weights,
    weights_only,
    write_checkpoint,
)
from mlore_mm.engine.checkpoints.weights import check_values
from mlore_mm.engine.processes import init_gloo, synchronise_batch_norms
from mlore_mm.engine.watched_optim_wrapper import WatchedMixin
from mlore_mm.models.backbones.vit import TransformerLayer
from mlore_mm.models.layers import MLoREBlock
from mlore_mm.registry import STRATEGIES
from mlore_mm.utils.unwrap import bare_name

UNITS = (TransformerLayer, MLoREBlock)  # together nearly all weights of a published MLoRE


@STRATEGIES.register_module()
class MultiTaskFSDPStrategy(FSDPStrategy):
    """mmengine's FSDPStrategy, with these differences.

    - Checkpoints are full, unsharded ones in the format of the ordinary runner, optimizer state included; they are
      written atomically and loaded without executing code. Training can resume with any number of processes, with or
      without this strategy, and ``tools/test.py`` runs in one process. (mmengine's own strategy cannot resume with
      current PyTorch versions, which changed the order of arguments of the loading function.)
    - Gradients are clipped by their global norm. mmengine clips each shard by its own norm, which scales parts of one
      tensor differently.
    - Batch norms are synchronised where the config says ``sync_bn``; mmengine leaves them plain.
    - It runs on the CPU over gloo as well.

    The main process gathers all weights in its own memory (not the device's) to write them.

    Args:
        units: Classes, or their names, with or without the package (``'MLoREBlock'``, ``'mlore_mm.MLoREBlock'``).
            Each module of such a class, or of one derived from it, is sharded on its own, and gathered just for its own
            computation; its weights must be used in its ``forward`` only, and every process must call it equally
            often. By default those of ``UNITS`` that the model has; the rest of the model is one more unit.
        options: As of mmengine's FSDPStrategy, such as ``model_wrapper=dict(sharding_strategy='SHARD_GRAD_OP')``.

    Raises:
        ValueError: The model has no module of a class that is named.
    """

    config_keys = dict(model_wrapper=MMFullyShardedDataParallel)

    optional_weights: tuple[str, ...] | None = None  # see TaskRunnerMixin

    def __init__(self, *, units: Sequence[str | type] | None = None, **options) -> None:
        # On the CPU there is nowhere to move to, and PyTorch would free the memory that it still reads from.
        gather = dict(rank0_only=True, offload_to_cpu=get_device() != 'cpu')
        state_dict_cfg = dict(
            state_dict_type='FULL_STATE_DICT',
            state_dict_config=dict(type='FullStateDictConfig', **gather),
            optim_state_dict_config=dict(type='FullOptimStateDictConfig', **gather),
        )
        super().__init__(state_dict_cfg=state_dict_cfg, **options)
        self.units = units

    # ---- building ----------------------------------------------------------------------------------------------
    def _setup_distributed(self, launcher: str = 'pytorch', backend: str = 'nccl', **options) -> None:
        if get_device() == 'cpu' and not is_distributed():
            init_gloo(launcher, options)
        super()._setup_distributed(launcher, backend, **options)

    def _init_model_weights(self, model: nn.Module) -> nn.Module:
        check_pretrained_files(model)
        with weights_only('A file of pre-trained weights (init_cfg)'):
            return super()._init_model_weights(model)

    def _wrap_model(self, model: nn.Module) -> nn.Module:
        if is_model_wrapper(model):
            return model
        model = synchronise_batch_norms(model, self.sync_bn)
        self.weights = {name: x.detach().to('meta') for name, x in model.state_dict().items()}
        wrapper = dict(type='MMFullyShardedDataParallel', auto_wrap_policy=ModuleWrapPolicy(self._unit_classes(model)))
        if get_device() == 'cpu':
            wrapper['device_id'] = torch.device('cpu')
        self.model_wrapper = {**wrapper, **(self.model_wrapper or {})}
        return super()._wrap_model(model)

    def _unit_classes(self, model: nn.Module) -> set[type]:
        present = {type(module) for module in model.modules()}
        found = {unit: {cls for cls in present if _is_a(cls, unit)} for unit in self.units or UNITS}
        missing = [unit for unit, classes in found.items() if not classes]
        if missing and self.units is not None:
            raise ValueError(
                f'The FSDP strategy is to shard modules of {missing} (units), but the model has none. It has '
                f'{sorted(cls.__name__ for cls in present)}.'
            )
        return set().union(*found.values())

    def build_optim_wrapper(self, optim_wrapper, model: nn.Module | None = None) -> OptimWrapper:
        wrapper = super().build_optim_wrapper(optim_wrapper, model)
        if (wrapper.clip_grad_kwargs or {}).get('max_norm') is not None:
            if not isinstance(wrapper, WatchedMixin):
                raise ValueError(
                    f'Gradients of a sharded model can be clipped by OptimWrapper and AmpOptimWrapper, but not by '
                    f'{type(wrapper).__name__}. Leave out optim_wrapper.clip_grad.'
                )
            wrapper.sharded = model
        return wrapper

    # ---- checkpoints -------------------------------------------------------------------------------------------
    def save_checkpoint(
        self,
        filename: str,
        *,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        extra_ckpt: dict | None = None,
        callback: Callable | None = None,
    ) -> None:
        """Gather the full state and write it; every process has to call this."""
        checkpoint = dict(state_dict=self.model_state_dict(), **(extra_ckpt or {}))
        checkpoint.setdefault('meta', {})['seed'] = self.seed
        if save_optimizer and hasattr(self, 'optim_wrapper'):
            checkpoint['optimizer'] = self.optim_state_dict()
        if save_param_scheduler and hasattr(self, 'param_schedulers'):
            checkpoint['param_schedulers'] = self.scheduler_state_dict()
        if callback is not None:
            callback(checkpoint)
        if is_main_process():
            write_checkpoint(checkpoint, filename)

    def load_checkpoint(self, filename: str, *, callback: Callable | None = None, **unused) -> dict:
        """Every process reads the file and keeps its shard. See :func:`read_checkpoint` for what is refused.

        Raises:
            ValueError: Weights are missing, and this is no start of a training.
        """
        checkpoint = read_checkpoint(filename)
        if callback is not None:
            callback(checkpoint)
        check_values(self.weights, checkpoint['state_dict'], str(filename))
        if self.optional_weights is not None:
            require_all_weights(self.weights, checkpoint, filename, self.optional_weights)
        self.load_model_state_dict(checkpoint.pop('state_dict'))
        return checkpoint

    def load_model_state_dict(self, state_dict: dict, **unused) -> None:
        """Load matching weights and log the names of the others, like the ordinary runner."""
        state = {bare_name(name): value for name, value in state_dict.items()}
        fitting = {name: x for name, x in self.weights.items() if name in state and state[name].shape == x.shape}
        left = sorted({*state, *self.weights} - {*fitting})
        if left:
            print_log(f'Missing, unexpected or of another shape: {left}', 'current', 30)
        self.model.load_state_dict({name: state[name] for name in fitting}, strict=False)

    def optim_state_dict(self) -> dict:
        """The optimizer's state as an ordinary optimizer has it, by the number of each parameter; {} elsewhere."""
        state = self.optim_wrapper.state_dict()  # for what is beside the optimizer's own, such as a loss scale
        whole = FullyShardedDataParallel.optim_state_dict(self.model, self.optim_wrapper.optimizer)
        if not whole:
            return {}
        names = [name for group in self._groups() for name in group]
        groups = [dict(group) for group in state['param_groups']]
        values = {i: _in_shape(whole['state'][name]) for i, name in enumerate(names) if name in whole['state']}
        return dict(state, state=values, param_groups=groups)

    def load_optim_state_dict(self, state_dict: dict) -> None:
        """The reverse of :meth:`optim_state_dict`: every process keeps its shard."""
        state = dict(state_dict)
        names = [name for group in self._groups() for name in group]
        groups = [
            dict(stored, params=named) for stored, named in zip(state['param_groups'], self._groups(), strict=True)
        ]
        named_state = {names[i]: value for i, value in state['state'].items()}
        share = FullyShardedDataParallel.optim_state_dict_to_load(
            self.model, self.optim_wrapper.optimizer, dict(state=named_state, param_groups=groups)
        )
        self.optim_wrapper.load_state_dict({**state, **share})

    def _groups(self) -> list[list[str]]:
        """Names of the parameters in the optimizer's groups, as in an unshared model."""
        names = {
            id(parameter): name.replace('_fsdp_wrapped_module.', '')
            for name, parameter in self.model.named_parameters()
        }
        return [[names[id(x)] for x in group['params']] for group in self.optim_wrapper.optimizer.param_groups]


def _is_a(cls: type, unit: str | type) -> bool:
    """Whether a class is the named one, or derived from it."""
    if isinstance(unit, str):
        package, _, name = unit.rpartition('.')
        return any(c.__name__ == name and c.__module__.startswith(package) for c in cls.__mro__)
    return issubclass(cls, unit)


def _in_shape(state: dict) -> dict:
    return {key: value.clone() if isinstance(value, torch.Tensor) else value for key, value in state.items()}
