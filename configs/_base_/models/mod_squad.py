# Mod-Squad, small, "twice": 6 of 15 query heads in even blocks, 4 of 16 MLPs in odd ones. The decoder is the one
# released for Taskonomy; that for PASCAL-Context was not released.
model = dict(
    type='MultiTaskEncoderDecoder',
    data_preprocessor=dict(type='MultiTaskDataPreprocessor', size_divisor=16),
    backbone=dict(type='ModSquadViT', arch='small', img_size='$crop_size', attn_experts=15, num_experts=16, top_k=4),
    decode_head=dict(type='ModSquadHead', in_channels=384),
    criterion=dict(
        type='MultiTaskCriterion',
        weighting=dict(type='LearnedScaleWeighting'),
        auxiliary_losses=dict(routers=dict(type='ModSquadRouterLoss', mutual_information=0.005)),
    ),
    test_cfg=dict(mode='whole', resize='predictions'),
)
