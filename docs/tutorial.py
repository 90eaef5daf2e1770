# %% [markdown]
# # From a few rooms to a model that sees six things at once
#
# Run it as a program, `python docs/tutorial.py`, or cell by cell in an editor that knows `# %%` (VS Code, PyCharm,
# Jupyter with jupytext). It renders a few rooms, trains a small MLoRE on them for some minutes of a CPU, and looks at
# what came out. With so few rooms and steps the numbers say nothing about the method.

# %%
import os
from pathlib import Path

import numpy as np
from PIL import Image

from mlore_mm.apis import (
    MultiTaskInferencer,
    browse_dataset,
    evaluate_model,
    evaluate_trivial,
    load_config,
    train_model,
)
from mlore_mm.apis.analysis.routing_report import collect_routing, load_dataset
from mlore_mm.synth_rooms import Recipe, generate
from mlore_mm.tasks import TaskSet, bind_tasks

REPO = Path(__file__).resolve().parents[1]
OUT = Path(os.environ.get('TUTORIAL_OUT', 'work_dirs/tutorial'))
STEPS = int(os.environ.get('TUTORIAL_STEPS', 100))
ROOMS = int(os.environ.get('TUTORIAL_ROOMS', 24))

# %% [markdown]
# ## 1. Data
# SynthRooms are rendered rooms with exact labels, written in the folder layout of NYUD-v2. A real archive would lie in
# `data/NYUDv2` and be read by the same classes.

# %%
root, _ = generate(OUT / 'data', Recipe('nyud', train=ROOMS, val=4))
print(sorted(path.name for path in root.iterdir()))

# %% [markdown]
# ## 2. The config, and its tasks
# `tasks` says what the labels mean, in the order of the model's tasks. `bind_tasks` hands it to the model, the data
# sets and the evaluator; the command lines call it, here we do.


# %%
def make_config():
    cfg = load_config(str(REPO / 'configs/mlore/mlore_tiny_synthrooms_nyud.py'), work_dir=str(OUT / 'work'))
    cfg.data_root, cfg.max_iters = str(root), STEPS
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
    # Boundaries are counted in this process: worker processes would run this file again, which has no main guard.
    cfg.tasks.edge.metric.workers = 0
    return cfg


tasks = TaskSet(bind_tasks(make_config()).model.tasks)
for name, task in tasks.items():
    print(f'{name:8} {type(task).__name__:15} {task.out_channels:3} channels, measured by {task.headline}')

# %% [markdown]
# ## 3. What the network is trained on
# One sample is an image as bytes, and a label map per task. Look at the pictures in `browse`: labels that are not
# aligned with the image are the most common mistake with a new data set.

# %%
dataset = load_dataset(bind_tasks(make_config()), 'train')
sample = dataset[0]
print(tuple(sample['inputs'].shape), sample['inputs'].dtype)
for name, task in tasks.items():
    label = sample['data_samples'].gt.get(name)
    print(f'{name:8} {tuple(label.shape)} {label.dtype}, valid pixels {task.valid_mask(label).float().mean():.2f}')
print('pictures:', *browse_dataset(make_config(), OUT / 'browse', count=2))

# %% [markdown]
# ## 4. Training
# The same as `python tools/train.py CONFIG`. Checkpoints, curves and the log go to the work folder.

# %%
train_model(make_config(), validate=False)
checkpoint = str(OUT / 'work' / f'iter_{STEPS}.pth')

# %% [markdown]
# ## 5. Is it better than not looking at the image?
# `evaluate_trivial` scores the best constant prediction: the commonest class, the mean depth, and so on. A model that
# has learned something beats it. For publication, compare with single-task models, see the page on evaluation.

# %%
metrics = evaluate_model(make_config(), checkpoint, show_dir=str(OUT / 'panels'))
trivial = evaluate_trivial(make_config())
for name, task in tasks.items():
    key = f'{name}/{task.headline}'
    direction = 'up' if task.higher_is_better else 'down'
    print(f'{key:14} ({direction:4})  model {metrics[key]:8.3f}  trivial {trivial[key]:8.3f}')

# %% [markdown]
# ## 6. Your own pictures
# The inferencer takes paths, folders, URLs, arrays and videos, of any size. Results carry their unit in their name.

# %%
photo = next((root / 'images').glob('val_*.png'))
infer = MultiTaskInferencer(make_config(), checkpoint, show_progress=False)
result = infer(str(photo), out_dir=str(OUT / 'results'))[0]
print('classes:', {name: round(share, 2) for name, share in list(result['semseg'].shares().items())[:3]})
print('depth:  ', result['depth'].metres.shape, f'median {np.median(result["depth"].metres):.2f} m')
print('normals:', result['normals'].unit.shape, ' boundaries:', result['edge'].probability.shape)
Image.fromarray(result.panel()).save(OUT / 'panel.png')

# %% [markdown]
# ## 7. Which experts does each task use?
# Every MLoRE block has shared low-rank experts, and a router per task that picks some of them for each image.
# `tools/analysis_tools/routing.py` draws this as heat maps.

# %%
rooms = load_dataset(infer.model.cfg, 'test')
routing = collect_routing(infer.model, rooms)
first = routing['decode_head/stage0/block0']
print('how often each expert of the first block is chosen')
for name, share in zip(first.tasks, first.selection, strict=True):
    print(f'{name:8}', ' '.join(f'{x:.2f}' for x in share))
print(f'busiest expert: {first.load.argmax()}, experts that nobody chose: {first.unused}')
