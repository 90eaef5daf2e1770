# Hard sharing whose heads' 3x3 convolutions choose their kernels by image, three entries in ten of them.
_base_ = '../baselines/hard-sharing_tiny_synthrooms_nyud.py'
model = dict(
    partially_dynamic=[dict(modules='decode_head.heads.*.0', num_kernels=4, static_init='mean')],
)
custom_hooks = [
    dict(type='TemperatureAnnealHook', init=30.0, iterations=200),
    dict(type='IterativeModePartitionHook', density=0.3, num_batches=10),
]
