# A decoder of one's own in place of MLoRE. own_head.py has to be importable:
#   PYTHONPATH=docs/examples python tools/train.py docs/examples/own_head_config.py
_base_ = '../../configs/mlore/mlore_tiny_synthrooms_nyud.py'

custom_imports = dict(imports=['mlore_mm', 'own_head'], allow_failed_imports=False)
task_names = ['semseg', 'depth']
model = dict(
    decode_head=dict(
        _delete_=True,
        type='GuessAndRefineHead',
        in_channels=[32, 64, 128, 256],
        reference_level=1,
        embed_dims=48,
    ),
    criterion=dict(
        auxiliary_weights=dict(guess=0.5),  # weight of the group that the head returns in training
        auxiliary_losses=dict(_delete_=True),  # no routers here, so nothing to balance
    ),
)
