# MLoRE on a backbone of one's own. own_backbone.py has to be importable:
#   PYTHONPATH=docs/examples python tools/train.py docs/examples/own_backbone_config.py
_base_ = '../../configs/mlore/mlore_tiny_synthrooms_nyud.py'

custom_imports = dict(imports=['mlore_mm', 'own_backbone'], allow_failed_imports=False)
task_names = ['semseg', 'depth']
model = dict(
    backbone=dict(_delete_=True, type='StridedConvNet', widths=(16, 32, 64, 128)),
    decode_head=dict(
        in_index=[0, 1, 2, 3],
        in_channels=[16, 32, 64, 128],  # channels of these levels, in their order
        reference_level=1,  # decode on the grid of the second level, stride 8
        grid='$crop_size // 8',  # that grid at the training size
    ),
)
