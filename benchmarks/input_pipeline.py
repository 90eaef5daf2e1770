"""How many training samples one worker of the data loader makes per second, from files of the real sizes.

python benchmarks/input_pipeline.py

It writes archives with invented content into a temporary folder, and compares the published steps one by one
(`literal`) with the configured pipelines, for PASCAL-Context also with baked labels. The variants take turns, and the
median over rounds is given, in CPU time: what one worker reaches with a core of its own and files in memory.
"""

import argparse
import os
import platform
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import torch
from literal_pipeline import literal_sample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from sample_archives import write_nyud, write_pascal

from mlore_mm.datasets.baking import bake
from mlore_mm.datasets.sample_list import read_split
from mlore_mm.registry import DATASETS
from mlore_mm.tasks import bind_tasks

CONFIGS = Path(__file__).resolve().parents[1] / 'configs/_base_/datasets'


def build(config: str, root: Path):
    cfg = Config.fromfile(CONFIGS / f'{config}.py')
    cfg.train_dataloader.dataset.data_root = str(root)
    return DATASETS.build(bind_tasks(cfg).train_dataloader.dataset)


def variants(root: Path, count: int) -> dict:
    """Name to a function that makes one sample of a given index."""
    write_nyud(root / 'NYUDv2', count)
    write_pascal(root / 'PASCALContext', count)
    nyud, pascal = build('nyud_v2', root / 'NYUDv2'), build('pascal_context', root / 'PASCALContext')
    ids = read_split(str(root / 'PASCALContext/ImageSets/Context/train.txt'))
    if any(problems for _, problems, _ in bake(str(root / 'PASCALContext'), ids, workers=1)):
        raise RuntimeError('The invented archive could not be baked.')
    return {
        'NYUD-v2, literal': lambda index: literal_sample(nyud.get_data_info(index), (448, 576)),
        'NYUD-v2': nyud.__getitem__,
        'PASCAL-Context, literal': lambda index: literal_sample(pascal.get_data_info(index), (512, 512)),
        'PASCAL-Context': pascal.__getitem__,
        'PASCAL-Context, baked': build('pascal_context', root / 'PASCALContext').__getitem__,
    }


def measure(samples: dict, count: int, rounds: int) -> dict[str, float]:
    """Samples per second of CPU time."""
    seconds = {name: [] for name in samples}
    for round_index in range(rounds + 1):  # the first one warms up
        for name, sample in samples.items():
            np.random.seed(round_index)  # noqa: NPY002  (the same scales and crops for every variant)
            start = time.process_time()
            for index in range(count):
                sample(index)
            seconds[name].append((time.process_time() - start) / count)
    return {name: 1 / statistics.median(times[1:]) for name, times in seconds.items()}


def profile(config: str, root: Path, count: int) -> dict[str, float]:
    """Milliseconds of CPU time per sample and transform."""
    dataset, spent = build(config, root), Counter()
    for index in [0, *range(count)]:
        results = dataset.get_data_info(index)
        for transform in dataset.pipeline.transforms:
            start = time.process_time()
            results = transform(results)
            spent[type(transform).__name__] += time.process_time() - start
    return {name: 1000 * seconds / (count + 1) for name, seconds in spent.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=24, help='samples per data set')
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(0)  # as in a worker
    torch.set_num_threads(1)
    init_default_scope('mlore_mm')
    versions = f'OpenCV {cv2.__version__}, NumPy {np.__version__}, torch {torch.__version__}'
    print(f'{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, {versions}')
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        speeds = measure(variants(root, args.count), args.count, args.rounds)
        for name, speed in speeds.items():
            literal = speeds[f'{name.split(",")[0]}, literal']
            print(f'{name:<26}{speed:7.1f} images/s of one worker  {speed / literal:5.2f} x literal')
        for config, name in (('nyud_v2', 'NYUDv2'), ('pascal_context', 'PASCALContext')):
            parts = profile(config, root / name, args.count)
            print(f'{name} (baked where it can be), ms:', ', '.join(f'{k} {v:.1f}' for k, v in parts.items()))


if __name__ == '__main__':
    main()
