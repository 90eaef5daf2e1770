# M3ViT whose experts share half of their weights.
_base_ = '../m3vit/m3vit_tiny_synthrooms_nyud.py'
model = dict(
    partially_dynamic=[dict(modules='backbone.layers.*.mixture.fc?', static_init='mean')],
)
custom_hooks = [dict(type='IterativeModePartitionHook', density=0.5, num_batches=10)]
