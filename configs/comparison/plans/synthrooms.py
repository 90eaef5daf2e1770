# A comparison for a machine without an accelerator: rendered rooms, a ResNet-18 of half width from scratch. With so
# short a budget it shows how a comparison works, and not which system is better.
name = 'SynthRooms, tiny models from scratch'
systems = {
    'hard sharing': 'configs/baselines/hard-sharing_tiny_synthrooms_nyud.py',
    'MLoRE': 'configs/mlore/mlore_tiny_synthrooms_nyud.py',
    'PAD-Net': 'configs/pad_net/pad-net_tiny_synthrooms_nyud.py',
}
single_task = 'configs/baselines/hard-sharing_tiny_synthrooms_nyud.py'
data = dict(name='SynthRooms, 120x160')
encoders = {'ResNet-18, half width': {}}
budget = dict(iterations=100)
seeds = [0, 1]
