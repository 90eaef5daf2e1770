# The plan on real photos in short: one seed, every second training photo.
_base_ = ['./nyud-small_dinov2-s.py']
data = dict(
    name='every second photo of NYUD-v2 in small',
    cfg_options={'train_dataloader.dataset.indices': list(range(0, 491, 2))},
)
seeds = [0]
