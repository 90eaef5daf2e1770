# Weights, gradients and optimizer state are shared out over the processes; see docs/training.md.
_base_ = './mlore_vitl_nyud.py'
runner_type = 'mlore_mm.MultiTaskFlexibleRunner'
strategy = dict(type='mlore_mm.MultiTaskFSDPStrategy')
