# Another loss for one task. own_loss.py has to be importable:
#   PYTHONPATH=docs/examples python tools/train.py docs/examples/own_loss_config.py
_base_ = '../../configs/mlore/mlore_tiny_synthrooms_nyud.py'

custom_imports = dict(imports=['mlore_mm', 'own_loss'], allow_failed_imports=False)
task_names = ['semseg', 'depth']
tasks = dict(depth=dict(loss=dict(type='ReverseHuberLoss', share=0.2), loss_weight=0.5))
