# The same tries in short: a third of the photos trains, a twelfth validates, sixty iterations,
# and boundaries are scored by their loss.
_base_ = './nyud-small_dinov2-s_tries.py'
name = 'Tries, on every second photo of the training half'
data = dict(
    name='every second photo of the training half',
    cfg_options={
        'train_dataloader.dataset.indices': [i for i in range(0, 491, 2) if i % 6 != 4],
        'val_dataloader.dataset.indices': [i for i in range(0, 491, 2) if i % 12 == 4],
        'tasks.edge.metric': dict(type='BoundaryLossMetric', squash_twice=False, _delete_=True),
    },
)
budget = dict(iterations=60)
