"""Generating a whole data set: one image at a time from its own random stream, by several processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .classes import KINDS
from .layouts import LAYOUTS
from .render import ROOM, View, preview, render
from .scene import Scene, sample_scene

VERSION = 1  # of the pictures: raise it when the same parameters give other files
MANIFEST = 'synth_rooms.json'
SPLITS = ('train', 'val')
ON_WALLS = ('window', 'door', 'picture')


@dataclass(frozen=True)
class Recipe:
    """All that decides what one layout's folder holds. The size is (height, width) in pixels.

    An image depends on seed, layout, size, split and its number alone: more images leave the first ones as they were.
    """

    layout: str
    seed: int = 0
    size: tuple[int, int] = (120, 160)
    train: int = 240
    val: int = 60

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f'SynthRooms: unknown layout {self.layout!r}, expected one of {sorted(LAYOUTS)}.')
        if len(self.size) != 2 or min(self.size) < 32 or max(self.size) > 3 * min(self.size):
            raise ValueError(
                f'SynthRooms: size is {self.size}, expected (height, width), both at least 32 pixels and the longer '
                'side at most 3 times the shorter one.'
            )
        if min(self.train, self.val) < 1:
            raise ValueError(
                f'SynthRooms: got train={self.train} and val={self.val}, expected at least one image each.'
            )
        if self.seed < 0:
            raise ValueError(f'SynthRooms: seed is {self.seed}, expected 0 or a positive number.')

    def manifest(self) -> dict:
        return asdict(self) | {'size': list(self.size), 'generator': 'SynthRooms', 'version': VERSION}


def worth_seeing(scene: Scene, size: tuple[int, int], people: int, voc: bool) -> bool:
    """Whether a view shows furniture, and people if asked for, neither hidden nor filling the image.

    Args:
        scene: What is looked at; a coarse rendering of about 1200 rays decides.
        size: Height and width of the image to come, for its proportions.
        people: Number of people that must be seen.
        voc: Whether something of a PASCAL VOC class must be seen.
    """
    step = (size[0] * size[1] / 1200) ** 0.5
    instance, depth, kinds = preview(scene, (round(size[0] / step), round(size[1] / step)))
    share = np.bincount(instance.ravel(), minlength=len(kinds)) / instance.size
    persons = share[[k == 'person' for k in kinds]]
    solid = [(k, s) for k, s in zip(kinds[len(ROOM) :], share[len(ROOM) :], strict=True) if k not in ON_WALLS]
    furniture = {k for k, s in solid if s > 0.008 and k != 'person'}
    return (
        depth.min() > 0.5
        and len(persons) == people
        and all(0.02 < p < 0.3 for p in persons)
        and len(furniture) >= 2
        and sum(s for _, s in solid) > 0.12
        and max(s for _, s in solid) < 0.4
        and (not voc or any(KINDS[k].voc and s > 0.008 for k, s in solid))
    )


def make_view(recipe: Recipe, split: str, index: int) -> View:
    """Image number ``index`` of a split; the even ones hold one person, or now and then two."""
    layout = LAYOUTS[recipe.layout]
    size = layout.image_size(index, recipe.size)
    stream = [recipe.seed, sorted(LAYOUTS).index(recipe.layout), SPLITS.index(split), index]
    for attempt in range(500):
        rng = np.random.default_rng([*stream, attempt])
        people = int(1 + (rng.random() < 0.15)) if index % 2 == 0 else 0
        scene = sample_scene(rng, people)
        if worth_seeing(scene, size, people, voc=layout.scheme == 'voc'):
            return render(scene, size, rng)
    raise AssertionError(f'no acceptable view of {recipe}, {split} {index}, in 500 scenes')


def image_name(split: str, index: int) -> str:
    return f'{split}_{index:05d}'


def make_image(recipe: Recipe, root: Path, job: tuple[str, int]) -> list[int]:
    """Renders and writes one image; returns the VOC classes in it where the layout lists them."""
    split, index = job
    return LAYOUTS[recipe.layout].write(root, image_name(split, index), index, make_view(recipe, split, index))


def is_there(folder: Path, recipe: Recipe, overwrite: bool) -> bool:
    """True if the folder already holds this data set, False if it may be written.

    Raises:
        ValueError: The folder holds something else and may not be replaced.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / MANIFEST).is_file():
        raise ValueError(
            f'{folder} is not empty and has no {MANIFEST}, so SynthRooms did not make it; it is left alone, also with '
            '--overwrite. Choose another output folder or move it away.'
        )
    if overwrite:
        return False
    try:
        found = json.loads((folder / MANIFEST).read_text())
    except ValueError as error:
        raise ValueError(f'{folder / MANIFEST} cannot be read ({error}); use --overwrite to make it anew.') from error
    if found == recipe.manifest():
        return True
    wanted = recipe.manifest()
    differing = ', '.join(f'{k}: {found.get(k)} there, {v} asked for' for k, v in wanted.items() if found.get(k) != v)
    raise ValueError(
        f'{folder} holds SynthRooms made otherwise ({differing}). Add --overwrite or choose another folder.'
    )


def generate(
    out_dir: str | Path,
    recipe: Recipe,
    workers: int = 2,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Path, bool]:
    """Writes ``out_dir/NYUDv2`` or ``out_dir/PASCALContext``.

    The folder appears only when it is whole: the files are written beside it first.

    Args:
        out_dir: Parent folder, made if missing.
        recipe: What to make.
        workers: Number of processes; the files do not depend on it.
        overwrite: Replace what an earlier call with other parameters made. Other folders are never replaced.
        report: Called with the number of images done and the number of all.

    Returns:
        The folder, and whether it was there already and was reused.
    """
    if workers < 1:
        raise ValueError(f'SynthRooms: workers is {workers}, expected at least 1.')
    out_dir = Path(out_dir)
    folder = out_dir / LAYOUTS[recipe.layout].folder
    if is_there(folder, recipe, overwrite):
        return folder, True
    out_dir.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix='.synth_rooms-', dir=out_dir))
    try:
        root = scratch / folder.name
        root.mkdir()
        fill(root, recipe, workers, report)
        if folder.exists():
            folder.rename(scratch / 'replaced')
        root.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder, False


def fill(root: Path, recipe: Recipe, workers: int, report: Callable[[int, int], None]) -> None:
    """Writes all images, the lists of the splits, and the manifest."""
    jobs = [(split, i) for split in SPLITS for i in range(getattr(recipe, split))]
    make, classes = partial(make_image, recipe, root), []
    if workers == 1:
        for done, job in enumerate(jobs, 1):
            classes.append(make(job))
            report(done, len(jobs))
    else:
        # Forked workers start at once; started afresh, each would import the whole package first.
        context = multiprocessing.get_context('fork' if sys.platform == 'linux' else None)
        with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
            for done, found in enumerate(pool.map(make, jobs, chunksize=4), 1):
                classes.append(found)
                report(done, len(jobs))
    for split in SPLITS:
        own = [(image_name(*job), found) for job, found in zip(jobs, classes, strict=True) if job[0] == split]
        LAYOUTS[recipe.layout].write_split(root, split, [name for name, _ in own], [found for _, found in own])
    (root / MANIFEST).write_text(json.dumps(recipe.manifest(), indent=1) + '\n')
