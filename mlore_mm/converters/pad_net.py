"""Keys of the published PAD-Net and MTI-Net (one code base; HRNet's keys are mmseg's)."""

from mlore_mm.converters.published import register_system
from mlore_mm.converters.rename import KeyTable

PAD_NET = register_system(
    'pad_net',
    KeyTable(
        [
            ('backbone.1.last_layer.0.{p}', 'decode_head.fuse.conv.{p}'),
            ('backbone.1.last_layer.1.{p}', 'decode_head.fuse.norm.{p}'),
            ('backbone.0.{rest}', 'backbone.{rest}'),
            ('initial_task_prediction_heads.layers.{t}.{rest}', 'decode_head.initial.features.{t}.{rest}'),
            ('initial_task_prediction_heads.conv_out.{t}.{p}', 'decode_head.initial.predict.{t}.{p}'),
            (
                'multi_modal_distillation.self_attention.{t}.{u}.attention.0.{p}',
                'decode_head.distillation.gate.{t}.{u}.{p}',
            ),
            ('multi_modal_distillation.self_attention.{t}.{u}.conv.{p}', 'decode_head.distillation.value.{t}.{u}.{p}'),
            ('heads.{t}.{rest}', 'decode_head.heads.{t}.{rest}'),
        ],
        name='published PAD-Net',
    ),
)

MTI_NET = register_system(
    'mti_net',
    KeyTable(
        [
            ('backbone.{rest}', 'backbone.{rest}'),
            ('scale_{i}.refinement.{t}.{rest}', 'decode_head.initial.{i}.features.{t}.{rest}'),
            ('scale_{i}.decoders.{t}.{p}', 'decode_head.initial.{i}.predict.{t}.{p}'),
            ('fpm_scale_{i}.non_linear.{rest}', 'decode_head.propagation.{i}.mask.{rest}'),
            ('fpm_scale_{i}.dimensionality_reduction.{rest}', 'decode_head.propagation.{i}.reduce.{rest}'),
            ('fpm_scale_{i}.se.{t}.squeeze.0.{p}', 'decode_head.propagation.{i}.squeeze_excite.{t}.squeeze.{p}'),
            ('fpm_scale_{i}.se.{t}.squeeze.2.{p}', 'decode_head.propagation.{i}.squeeze_excite.{t}.excite.{p}'),
            (
                'distillation_scale_{i}.self_attention.{t}.{u}.attention.0.{p}',
                'decode_head.distillation.{i}.gate.{t}.{u}.{p}',
            ),
            (
                'distillation_scale_{i}.self_attention.{t}.{u}.conv.{p}',
                'decode_head.distillation.{i}.value.{t}.{u}.{p}',
            ),
            ('heads.{t}.last_layer.0.{p}', 'decode_head.heads.{t}.fuse.conv.{p}'),
            ('heads.{t}.last_layer.1.{p}', 'decode_head.heads.{t}.fuse.norm.{p}'),
            ('heads.{t}.last_layer.3.{p}', 'decode_head.heads.{t}.predict.{p}'),
        ],
        name='published MTI-Net',
    ),
)
