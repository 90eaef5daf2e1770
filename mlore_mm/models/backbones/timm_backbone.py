"""Any encoder of timm."""

import math
import re
import sys
from collections.abc import Sequence
from functools import cached_property

import torch
from mmengine.model import BaseModule
from torch import Tensor

from mlore_mm.models.encoder_depth import Depths
from mlore_mm.models.encoder_facts import EncoderFacts, block_indices
from mlore_mm.registry import FUNCTIONS, MODELS


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A model of `timm <https://github.com/huggingface/pytorch-image-models>`_ as an encoder, by its name.

    Channels, strides, patch size, mean and std are the model's own and need not be repeated in a config
    (:class:`EncoderFacts`). The parts behind the last used level are left out.

    Args:
        model_name: Such as 'vit_small_patch14_dinov2.lvd142m'; the tag after the point names weights.
        pretrained: Take the weights from the model hub when training starts (``init_weights``). Building a model for a
            checkpoint of one's own needs no network.
        checkpoint_path: A local file of the weights in timm's names or in the authors' (``.pth`` or ``.safetensors``),
            in place of the hub.
        out_indices: Blocks of a plain transformer or stages of a hierarchical model. By default the quarters of the
            depth, or the stages from stride 4 on.
        img_size: (H, W) that position embeddings and windows are made for; other sizes work where the model can
            (plain transformers resample their positions).
        in_channels: Channels of the image. Weights of the first convolution are adapted as timm does.
        norm: Apply the model's final norm to every level; by default for plain transformers.
        drop_path_rate: Stochastic depth.
        with_cp: Activation checkpointing.
        options: More arguments of ``timm.create_model``.

    Raises:
        ImportError: timm is not installed.
        ValueError: An unknown name, or a model without intermediate features.
    """

    def __init__(
        self,
        model_name: str,
        pretrained: bool = False,
        checkpoint_path: str | None = None,
        out_indices: Sequence[int] | None = None,
        img_size: int | Sequence[int] | None = None,
        in_channels: int = 3,
        norm: bool | None = None,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        options: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.model_name, self.pretrained, self.checkpoint_path = model_name, pretrained, checkpoint_path
        self.in_channels = in_channels
        self.img_size = (img_size, img_size) if isinstance(img_size, int) else img_size and tuple(img_size)
        self.model = _create(model_name, img_size, in_channels, drop_path_rate, dict(options or {}))
        levels = _levels(self.model)
        self.plain = len({stride for _, stride in levels}) == 1
        self.norm = self.plain if norm is None else norm
        indices = _default_indices(levels, self.plain) if out_indices is None else out_indices
        self.out_indices = block_indices(indices, len(levels), model_name)
        self.levels = [levels[i] for i in self.out_indices]
        self.model.prune_intermediate_layers(list(self.out_indices), prune_norm=not self.norm, prune_head=True)
        if with_cp:
            self.model.set_grad_checkpointing(True)

    @cached_property
    def facts(self) -> EncoderFacts:
        """Channels and strides of the levels; mean and std that the weights were trained with."""
        config = self.model.pretrained_cfg
        strides = tuple(stride for _, stride in self.levels)
        scale = [tuple(255 * x for x in config[key]) for key in ('mean', 'std')]
        return EncoderFacts(
            channels=tuple(channels for channels, _ in self.levels),
            strides=strides,
            size_divisor=max(strides),
            mean=scale[0] if self.in_channels == 3 else None,
            std=scale[1] if self.in_channels == 3 else None,
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Images (B, C, H, W), sides multiples of ``facts.size_divisor``, to maps (B, C_l, H/s_l, W/s_l).

        Raises:
            ValueError: Sides that are no such multiples.
        """
        divisor = self.facts.size_divisor
        if x.shape[-2] % divisor or x.shape[-1] % divisor:
            raise ValueError(
                f'{self.model_name} got an image of {tuple(x.shape[-2:])}, not a multiple of {divisor}. The data '
                f'preprocessor pads to that by itself unless the config sets another size_divisor; sliding windows '
                f'(test_cfg.crop_size, stride) have to be multiples, too.'
            )
        try:
            maps = self.model.forward_intermediates(
                x, indices=self.out_indices, norm=self.norm, output_fmt='NCHW', intermediates_only=True
            )
        except (RuntimeError, AssertionError) as error:
            size = getattr(self, 'img_size', None)
            if size is None or tuple(x.shape[-2:]) == size:
                raise
            raise ValueError(
                f'{self.model_name} is built for images of {size} and cannot take {tuple(x.shape[-2:])}: set img_size '
                "of the encoder ('$crop_size'), and pad or slide to that size in tests."
            ) from error
        return tuple(level.contiguous() for level in maps)

    def block_depths(self) -> Depths:
        """As timm groups the parameters for layer-wise learning rates."""
        return self._grouped(coarse=False)

    def stage_depths(self) -> Depths:
        """Stages of a hierarchical model, blocks of a plain one."""
        return self._grouped(coarse=not self.plain)

    def _grouped(self, coarse: bool) -> Depths:
        from timm.models import group_parameters

        groups = group_parameters(self.model, self.model.group_matcher(coarse=coarse))
        known = {name for name, _ in self.model.named_parameters()}
        found = {f'model.{name}': k for k, names in groups.items() for name in names if name in known}
        parts = [k for name, k in found.items() if re.match(r'model\.(blocks|stages|layers)\.', name)]
        return Depths(found, max(parts, default=0))

    def init_weights(self) -> None:
        """Weights of ``checkpoint_path``, or of the hub where ``pretrained`` is set.

        Raises:
            ValueError: The file does not hold every weight of the encoder, or the hub cannot be reached.
        """
        super().init_weights()
        if self.checkpoint_path:
            read_checkpoint = FUNCTIONS.get('read_checkpoint')  # of the engine, which imports this package
            self._load(read_checkpoint(self.checkpoint_path)['state_dict'], self.checkpoint_path)
        elif self.pretrained:
            self._load(_from_hub(self.model_name), f'{self.model_name} of the hub')

    def _load(self, state: dict[str, Tensor], source: str) -> None:
        own = self.model.state_dict()
        state = _resample_positions(self.model, self.model_name, state)
        rename = getattr(sys.modules[type(self.model).__module__], 'checkpoint_filter_fn', None)
        state = rename(state, self.model) if rename is not None else state
        state = _adapt_first_conv(self.model.pretrained_cfg, self.in_channels, state)
        wrong = [key for key, value in own.items() if key not in state or tuple(state[key].shape) != tuple(value.shape)]
        wrong = [key for key in wrong if not key.endswith('num_batches_tracked')]
        if wrong:
            raise ValueError(
                f'{source} lacks {len(wrong)} of the {len(own)} weights of {self.model_name}, or has them in another '
                f'shape, such as {", ".join(wrong[:3])}. Give the file of this very model, in the names of timm or of '
                'its authors.'
            )
        self.model.load_state_dict({key: state[key] for key in own if key in state}, strict=False)


def _create(name: str, img_size, in_channels: int, drop_path_rate: float, options: dict):
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            "TimmBackbone needs timm, which is not installed: pip install 'timm>=1.0.20' (extra `encoders`)."
        ) from error
    if not timm.is_model(name):
        close = timm.list_models(f'*{name.partition(".")[0][:12]}*')[:5]
        raise ValueError(f"timm {timm.__version__} has no model '{name}'. Similar ones: {close}.")
    if drop_path_rate:
        options.setdefault('drop_path_rate', drop_path_rate)
    if img_size is None:
        return _first_that_takes(name, in_channels, options)
    size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
    options.setdefault('img_size', size)
    model = _first_that_takes(name, in_channels, options)
    divisor = max(stride for _, stride in _levels(model))
    padded = tuple(math.ceil(side / divisor) * divisor for side in size)
    if options.get('img_size') == size != padded:  # what images of that size are padded to
        model = _first_that_takes(name, in_channels, {**options, 'img_size': padded})
    return model


def _first_that_takes(name: str, in_channels: int, options: dict):
    """The model with the most freedom of sizes that it knows: any size, the stored size and others, or no size at all.

    A convolutional model has no ``img_size``, and needs none.
    """
    import timm

    without = {key: value for key, value in options.items() if key != 'img_size'}
    attempts = [{'dynamic_img_size': True, **options}, {'strict_img_size': False, **options}, options, without]
    for attempt in attempts:
        try:
            model = timm.create_model(name, pretrained=False, in_chans=in_channels, **attempt)
        except TypeError as error:
            refused = error
            continue
        if not hasattr(model, 'forward_intermediates'):
            raise ValueError(f'{name} offers no intermediate features (forward_intermediates) in this timm.')
        return model
    raise ValueError(f'{name} does not take these options: {without} ({refused}).')


def _levels(model) -> list[tuple[int, int]]:
    """Channels and stride of every block or stage."""
    info = getattr(model.feature_info, 'info', model.feature_info)
    return [(level['num_chs'], level['reduction']) for level in info]


def _default_indices(levels: list[tuple[int, int]], plain: bool) -> list[int]:
    if plain:
        return sorted({(len(levels) * (i + 1) // 4 - 1) % len(levels) for i in range(4)})
    return [i for i, (_, stride) in enumerate(levels) if stride >= 4]


def _from_hub(name: str) -> dict[str, Tensor]:
    """The weights of the model hub.

    Raises:
        ValueError: They cannot be had, saying which file to put where.
    """
    import timm
    from timm.models import load_state_dict_from_hf

    config = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if config is None or not (config.hf_hub_id or config.url):
        raise ValueError(f'timm knows no weights for {name}. Names with weights: timm.list_pretrained().')
    try:
        if config.hf_hub_id:
            return load_state_dict_from_hf(config.hf_hub_id, weights_only=True)
        return torch.hub.load_state_dict_from_url(config.url, map_location='cpu', weights_only=True)
    except Exception as error:  # no network, no such file, no permission: the libraries raise many kinds
        file = f'https://huggingface.co/{config.hf_hub_id}/resolve/main/model.safetensors'
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(
            f'The weights of {name} cannot be had from the hub ({reason}). On a machine with a network download '
            f'{file if config.hf_hub_id else config.url}, copy it here, and set '
            "model.backbone.checkpoint_path='THAT_FILE' in place of pretrained=True."
        ) from error


def _resample_positions(model, name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Position embeddings on this model's grid, as the authors resize them.

    DINOv2 without registers was trained and is run with plain bicubic resizing; timm's default, and that of the other
    models, is with antialiasing.
    """
    own, stored = getattr(model, 'pos_embed', None), state.get('pos_embed')
    plain_bicubic = 'dinov2' in name and 'reg' not in name
    if not plain_bicubic or own is None or stored is None or own.shape == stored.shape or stored.dim() != 3:
        return state
    from timm.layers import resample_abs_pos_embed

    prefix = 0 if getattr(model, 'no_embed_class', False) else model.num_prefix_tokens
    resized = resample_abs_pos_embed(
        stored, list(model.patch_embed.grid_size), num_prefix_tokens=prefix, interpolation='bicubic', antialias=False
    )
    return {**state, 'pos_embed': resized}


def _adapt_first_conv(config: dict, in_channels: int, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The first convolution for another number of channels: copies of the RGB filters, scaled, as in timm."""
    key = f'{config.get("first_conv")}.weight'
    if key not in state or state[key].shape[1] == in_channels:
        return state
    from timm.models import adapt_input_conv

    return {**state, key: adapt_input_conv(in_channels, state[key])}
