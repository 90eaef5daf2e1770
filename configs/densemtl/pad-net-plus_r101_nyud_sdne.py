_base_ = './densemtl_r101_nyud_sdne.py'

# Published without a config: the scales 0 and 2 are supervised, see docs/systems/densemtl.md.
model = dict(
    decode_head=dict(
        _delete_=True,
        type='PADNetPlusHead',
        in_channels=[64, 256, 512, 1024, 2048],
        channels=[64, 128, 128, 256, 256],
        exchange=[2],
        side_scales=(2,),
    ),
    criterion=dict(auxiliary=dict(_delete_=True, scale_2=dict(combine='mean', align_corners=True))),
)
