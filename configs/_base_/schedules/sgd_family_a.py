# M3ViT: SGD at 2e-3, polynomial decay to zero, no clipping, no warm-up; 100 epochs of a total batch of 16 images.
# Published: the rate is constant within an epoch. Here it falls with every iteration, through the same values.
# 100 epochs of 49 batches (NYUD-v2); PASCAL-Context has 312 batches.
_base_ = './adam_40k.py'
max_iters = 4900
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='SGD', lr=2e-3, momentum=0.9, weight_decay=1e-4), clip_grad=None
)
auto_scale_lr = dict(base_batch_size=16)
