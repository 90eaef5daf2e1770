"""Keys of the published DenseMTL and of the baselines in its code (bare state dicts, an encoder with torchvision's)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mlore_mm.converters.published import register_system
from mlore_mm.converters.rename import KeyTable

# Index of the published list of steps to the scale: its first convolution, its second one.
_ENTER = {3: 3, 6: 2, 9: 1, 12: 0}
_LEAVE = {2: 4, 5: 3, 8: 2, 11: 1, 13: 0}
_UNUSED = {
    r'params\.': 'which repeat the heads and the exchange',
    r'backbone\.encoder\.fc\.': 'the classifier of the pre-training',
}


def aspp_rows(published: str, ours: str) -> list[tuple[str, str]]:
    """``{j}`` is convolution or norm."""
    branches = {
        'convs.0.{j}': 'point.{j}',
        'convs.4.1': 'pooled.0',
        'convs.4.2': 'pooled.1',
        'project.{j}': 'project.{j}',
    }
    branches.update({f'convs.{i + 1}.{{j}}': f'dilated.{i}.{{j}}' for i in range(3)})
    return [(f'{published}.{theirs}.{{p}}', f'{ours}.{name}.{{p}}') for theirs, name in branches.items()]


# A DeepLab head per task, which the code of the sharing networks has as well.
DEEPLAB_ROWS = [
    *aspp_rows('heads.{t}.0', 'decode_head.heads.{t}.aspp'),
    ('heads.{t}.1.{p}', 'decode_head.heads.{t}.conv.{p}'),
    ('heads.{t}.2.{p}', 'decode_head.heads.{t}.norm.{p}'),
    ('heads.{t}.4.{p}', 'decode_head.heads.{t}.predict.{p}'),
]


def _decoders(side_scale: int) -> list[tuple[str, str]]:
    """Encoder, decoders and predictions of DenseMTL and PAD-Net+."""
    steps, ours = 'heads.{t}.decoder', 'decode_head.decoders.{t}'
    predictions = {14: 0, 15: side_scale}
    return [
        ('backbone.encoder.{rest}', 'backbone.{rest}'),
        *aspp_rows(f'{steps}.0', f'{ours}.aspp'),
        *((f'{steps}.{n}.block.0.conv.{{p}}', f'{ours}.enter.{scale}.conv.{{p}}') for n, scale in _ENTER.items()),
        *((f'{steps}.{n}.block.0.conv.{{p}}', f'{ours}.leave.{scale}.conv.{{p}}') for n, scale in _LEAVE.items()),
        *((f'{steps}.{n}.{{p}}', f'decode_head.predict.{{t}}.{scale}.{{p}}') for n, scale in predictions.items()),
    ]


def _exchange() -> list[tuple[str, str]]:
    pair = 'decode_head.exchanges.{i}.pairs.{t}.{u}'
    return [
        ('m.{t}.{i}.extract_{u}.0.{p}', f'{pair}.extract.{{p}}'),
        ('m.{t}.{i}.SA_{u}.attention.0.{p}', f'{pair}.self_attention.gate.{{p}}'),
        ('m.{t}.{i}.SA_{u}.conv.{p}', f'{pair}.self_attention.value.{{p}}'),
        ('m.{t}.{i}.SxTAM_{u}.conv_b.{j}.{p}', f'{pair}.correlation.query.{{j}}.{{p}}'),
        ('m.{t}.{i}.SxTAM_{u}.conv_c.{j}.{p}', f'{pair}.correlation.key.{{j}}.{{p}}'),
        ('m.{t}.{i}.SxTAM_{u}.conv_d.{j}.{p}', f'{pair}.correlation.value.{{j}}.{{p}}'),
        ('m.{t}.{i}.SxTAM_{u}.alpha', f'{pair}.correlation.alpha'),
        ('m.{t}.{i}.proj_{u}.0.{p}', f'{pair}.project.{{p}}'),
        ('m.{t}.{i}.proj_{u}.1.{p}', f'{pair}.norm.{{p}}'),
        ('m.{t}.{i}.post.{j}.{p}', 'decode_head.exchanges.{i}.join.{t}.{j}.{p}'),
    ]


DENSE_MTL = register_system(
    'densemtl', KeyTable([*_decoders(1), *_exchange()], unused=_UNUSED, prefix='', name='published DenseMTL')
)

_MESSAGES = 'dist_module.self_attention.{t}.{u}'
PAD_NET_PLUS = register_system(
    'pad_net_plus',
    KeyTable(
        [
            *_decoders(2),
            (f'{_MESSAGES}.attention.0.{{p}}', 'decode_head.exchanges.2.gate.{t}.{u}.{p}'),
            (f'{_MESSAGES}.conv.{{p}}', 'decode_head.exchanges.2.value.{t}.{u}.{p}'),
        ],
        unused=_UNUSED,
        prefix='',
        name='published PAD-Net+',
    ),
)

DEEP_LAB = register_system(
    'densemtl_deeplab',
    KeyTable(
        [
            ('backbone.encoder.{rest}', 'backbone.{rest}'),
            *DEEPLAB_ROWS,
        ],
        unused=_UNUSED,
        prefix='',
        name="DeepLab checkpoint of DenseMTL's code",
    ),
)


def reorder_sources(
    state: Mapping[str, Tensor], tasks: Sequence[str], source_order: Mapping[str, Sequence[str]], scale: int = 1
) -> dict[str, Tensor]:
    """Converted weights of DenseMTL with the sources of each task in the order of the tasks, as ours are.

    The published code keeps the sources of a task in a set, so their order in front of the last projection of a trained
    model is whatever it was in that process, and is not in the file. With three tasks there are two orders per target,
    of which the right one shows by its score; with two tasks there is nothing to choose.

    Args:
        state: Weights by our keys.
        tasks: In the model's order.
        source_order: Target to its sources in the order they had in training; other targets stay as they are.
        scale: Of the exchange.

    Raises:
        ValueError: An order that is not one of all other tasks, or a target without an exchange.
    """
    state = dict(state)
    for target, order in source_order.items():
        ours, key = [task for task in tasks if task != target], f'decode_head.exchanges.{scale}.join.{target}.0.weight'
        if sorted(order) != sorted(ours) or key not in state:
            raise ValueError(
                f"source_order of '{target}' has to name all other tasks, {ours}, and '{target}' needs an exchange in "
                f'the checkpoint, but got {list(order)}.'
            )
        parts = dict(zip(order, state[key].chunk(len(ours), dim=1), strict=True))
        state[key] = torch.cat([parts[source] for source in ours], dim=1)
    return state
