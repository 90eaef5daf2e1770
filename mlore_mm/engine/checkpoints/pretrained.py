"""``init_cfg=dict(type='Pretrained', checkpoint=...)`` by the reader of all other checkpoints."""

from collections.abc import Iterator

from mmengine.logging import print_log
from mmengine.model import BaseModule, PretrainedInit, update_init_info
from torch import nn

from mlore_mm.engine.checkpoints.reader import read_checkpoint
from mlore_mm.engine.checkpoints.weights import fill_model
from mlore_mm.registry import WEIGHT_INITIALIZERS


@WEIGHT_INITIALIZERS.register_module(name='Pretrained')
class CheckedPretrainedInit(PretrainedInit):
    """mmengine's ``Pretrained``, which only warns in the log where nothing of a file fits.

    Args:
        checkpoint: File or address, see :func:`read_checkpoint`.
        prefix: Take the weights whose names begin with this, such as 'backbone.', and cut it off.
        map_location: Taken for mmengine's sake; files are read on the CPU.

    Raises:
        ValueError: The file is damaged or unsafe to read, has no weight of this module, or none with the prefix.
    """

    def __call__(self, module: nn.Module) -> None:
        weights = read_checkpoint(self.checkpoint)['state_dict']
        if self.prefix is not None:
            prefix = self.prefix if self.prefix.endswith('.') else f'{self.prefix}.'
            versions = getattr(weights, '_metadata', {})
            found = type(weights)((k.removeprefix(prefix), x) for k, x in weights.items() if k.startswith(prefix))
            found._metadata = {f'{k}.'.removeprefix(prefix)[:-1]: x for k, x in versions.items()}
            if not found:
                raise ValueError(
                    f"No weight of {self.checkpoint} begins with prefix='{prefix}'; there are "
                    f'{sorted({name.split(".")[0] for name in weights})[:10]}.'
                )
            weights = found
        print_log(f'{type(module).__name__} starts with the weights of {self.checkpoint}.', 'current')
        fill_model(module, weights, str(self.checkpoint), optional=None)
        if hasattr(module, '_params_init_info'):  # set while mmengine initialises
            update_init_info(module, init_info=f'Pretrained: from {self.checkpoint}')


def check_pretrained_files(model: nn.Module) -> None:
    """Read files of modules that load them by code of their own, such as mmsegmentation's Swin, for their checks.

    Raises:
        ValueError: See :func:`read_checkpoint`.
    """
    for path in sorted({path for module in model.modules() for path in _own_way(module)}):
        read_checkpoint(path)


def _own_way(module: nn.Module) -> Iterator[str]:
    if getattr(type(module), 'init_weights', None) in (None, BaseModule.init_weights):
        return
    configs = getattr(module, 'init_cfg', None) or []
    for config in [configs] if isinstance(configs, dict) else configs:
        if config.get('type') in ('Pretrained', PretrainedInit) and config.get('checkpoint'):
            yield str(config['checkpoint'])
