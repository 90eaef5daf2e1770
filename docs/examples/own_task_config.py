# Inverse depth beside the tasks that are there already. own_task.py has to be importable:
#   PYTHONPATH=docs/examples python tools/train.py docs/examples/own_task_config.py
_base_ = '../../configs/mlore/mlore_tiny_synthrooms_nyud.py'

custom_imports = dict(imports=['mlore_mm', 'own_task'], allow_failed_imports=False)
tasks = dict(inverse_depth=dict(type='Nearness', loss_weight=2.0))  # added at the end of the others
task_names = ['semseg', 'depth', 'inverse_depth']  # without this line: all five

labels = dict(inverse_depth=dict(type='NearnessReader', dir='depth'))
train_dataloader = dict(dataset=dict(labels=labels))
val_dataloader = dict(dataset=dict(labels=labels))
test_dataloader = val_dataloader
