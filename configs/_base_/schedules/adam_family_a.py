# Family A: Adam at 1e-4 with L2 of 1e-4, polynomial decay to zero, no clipping, no warm-up; a total batch of 8 images.
# Published: the rate is constant within an epoch. Here it falls with every iteration, through the same values.
# 100 epochs of 99 batches (NYUD-v2); PASCAL-Context has 624 batches.
_base_ = './adam_40k.py'
max_iters = 9900
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=1e-4), clip_grad=None)
auto_scale_lr = dict(base_batch_size=8)
