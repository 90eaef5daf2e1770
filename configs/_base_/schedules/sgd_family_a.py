# M3ViT: SGD at 2e-3, otherwise as family A; 100 epochs of a total batch of 16 images.
_base_ = './adam_family_a.py'
optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=2e-3, momentum=0.9, weight_decay=1e-4))
auto_scale_lr = dict(base_batch_size=16)
