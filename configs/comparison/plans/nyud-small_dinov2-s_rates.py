# Rates for the plan beside this one, chosen on the training half alone: two of three photos train, the third validates.
# Every system has the same three tries; where one is clearly best, it goes into the config of the system.
_base_ = './nyud-small_dinov2-s.py'
name = 'Rates, on photos of the training half'
systems = dict(
    _delete_=True,
    **{
        f'{system}, {rate:g}': dict(
            config=f'configs/comparison/{config}_dinov2-s_nyud-small.py',
            cfg_options={'optim_wrapper.optimizer.lr': rate},
        )
        for rate in (1e-3, 3e-3, 1e-2)
        for system, config in {
            'MLoRE': 'mlore',
            'hard sharing': 'hard-sharing',
            'InvPT': 'invpt',
            'FGMoE-style': 'fgmoe-style',
            'PAD-Net': 'pad-net',
            'linear probe': 'linear-probe',
        }.items()
    },
)
single_task = None
_held_out = list(range(2, 491, 3))
data = dict(
    cfg_options={
        'train_dataloader.dataset.indices': [i for i in range(491) if i % 3 != 2],
        'val_dataloader.dataset.ann_file': 'gt_sets/train.txt',
        'val_dataloader.dataset.indices': _held_out,
    }
)
budget = dict(iterations=100)
seeds = [0]
