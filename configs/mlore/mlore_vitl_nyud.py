_base_ = [
    '../_base_/models/mlore_vit.py',
    '../_base_/datasets/nyud_v2.py',
    '../_base_/schedules/adam_40k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(embed_dims=768, ranks=list(range(16, 241, 16)), task_rank=16, pre_softmax=True),
    criterion=dict(auxiliary_losses=dict(load_balance=dict(loss_weight=5e-4))),
)
optim_wrapper = dict(optimizer=dict(lr=1e-5))
