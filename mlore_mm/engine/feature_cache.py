"""Stored features in the place of a frozen encoder: the data sets of a config, and what the features follow from."""

import hashlib
from importlib import metadata
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.logging import print_log
from torch import nn

from mlore_mm.models.encoding import call_mode
from mlore_mm.utils.feature_store import as_json
from mlore_mm.utils.unwrap import bare_model
from mlore_mm.version import __version__

WRAPPER = 'CachedFeaturesDataset'
SPLITS = ('train', 'val', 'test')
# Of a backbone's config, what changes no feature: where weights come from (their digest counts), memory, dropout.
_NO_MATTER = ('init_cfg', 'pretrained', 'checkpoint_path', 'with_cp', 'drop_path_rate')


def bind_feature_cache(cfg) -> None:
    """Put :class:`CachedFeaturesDataset` around the data sets of a bound config with ``feature_cache``, in place.

    ``feature_cache=dict(path=STORE, augmentations=None)``: training needs the store; validation and test use it where
    it holds their data, and run the encoder where it does not, which is logged.

    Raises:
        ValueError: ``feature_cache`` without a path, or an encoder that is trained.
    """
    cache = cfg.get('feature_cache')
    if not cache:
        return
    if not cache.get('path'):
        raise ValueError("feature_cache needs a path: feature_cache=dict(path='STORE'), a folder of cache_features.py.")
    model = cfg.model
    inner = model.get('module') or model
    if inner.get('adapter'):
        raise ValueError(
            'feature_cache serves features that never change, but an adapter trains the encoder: leave one of '
            'model.adapter and feature_cache out.'
        )
    if not inner.get('frozen_backbone'):
        raise ValueError(
            'feature_cache serves features that never change, but the encoder is trained: set '
            'model.frozen_backbone=True, or leave feature_cache out.'
        )
    for split in SPLITS:
        loader = cfg.get(f'{split}_dataloader')
        if loader is None or loader.dataset.get('type') == WRAPPER:
            continue
        reason = None if split == 'train' else _needs_images(model, inner)
        if reason:
            print_log(f'The encoder runs on the {split} data, not the feature cache: {reason}.', 'current')
            continue
        places = dict(train=['train'], val=['val', 'test'], test=['test', 'val'])[split]
        options = dict(augmentations=cache.get('augmentations')) if split == 'train' else {}
        loader['dataset'] = ConfigDict(
            type=WRAPPER,
            dataset=loader['dataset'],
            path=cache['path'],
            splits=places,
            required=split == 'train',
            **options,
        )


def unbind_feature_cache(cfg) -> None:
    """Take what :func:`bind_feature_cache` put around the data sets away, in place, for a tool that needs images.

    The config that a training on stored features leaves in its work folder has it.
    """
    for split in SPLITS:
        loader = cfg.get(f'{split}_dataloader')
        while loader and loader.dataset.get('type') == WRAPPER:
            loader['dataset'] = loader.dataset.dataset


def _needs_images(model, inner) -> str | None:
    if 'module' in model:
        return 'it is augmented at test time'
    if (inner.get('test_cfg') or {}).get('mode') == 'slide':
        return "test_cfg.mode='slide' looks at windows"
    return None


def encoder_recipe(model: nn.Module, backbone_config: dict) -> dict[str, Any]:
    """What the features of an image follow from: encoder, weights, normalisation, versions.

    Args:
        model: The segmentor with its weights.
        backbone_config: Of a bound config.

    Raises:
        ValueError: An encoder without features that all tasks share.
    """
    model = bare_model(model)
    if call_mode(model.backbone) != 'once':
        raise ValueError(
            f'{type(model.backbone).__name__} makes features for each task, and a feature cache holds features that '
            'all tasks share. Leave feature_cache out.'
        )
    preprocessor = model.data_preprocessor
    return as_json(
        dict(
            backbone={key: value for key, value in backbone_config.items() if key not in _NO_MATTER},
            weights=weights_digest(model.backbone),
            preprocessor=dict(
                type=type(preprocessor).__name__,
                mean=preprocessor.mean.flatten().tolist(),
                std=preprocessor.std.flatten().tolist(),
                bgr_to_rgb=preprocessor.bgr_to_rgb,
                size_divisor=preprocessor.size_divisor,
            ),
            versions=dict(mlore_mm=__version__, **_timm(model.backbone)),
        )
    )


def weights_digest(module: nn.Module) -> str:
    """SHA-256 over the names, types, shapes and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(f'{name} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _timm(backbone: nn.Module) -> dict[str, str]:
    used = any(type(module).__module__.startswith('timm.') for module in backbone.modules())
    return dict(timm=metadata.version('timm')) if used else {}
