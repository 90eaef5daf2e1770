# MLoRE's decoder about 96 channels wide and what it adds to the losses, for leaves that name an encoder. Its blocks
# begin as identities that let gradients through, without which it learns too slowly for short trainings.
mlore_96 = dict(
    type='MLoREDecodeHead',
    img_size='$crop_size',
    embed_dims=96,
    ranks=list(range(4, 33, 2)),
    task_rank=16,
    top_k=9,
    pre_softmax=True,
    identity_init=True,
    detach_generic=False,
)
load_balance = dict(type='LoadBalanceLoss', loss_weight=1e-4)
