"""How the commands of the pages are shortened for `run_docs.py`, what they take for granted, and which are not run."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

from tests.printed import REAL_DATA, Command

CONFIG = 'configs/mlore/mlore_tiny_synthrooms_nyud.py'
TRAINING = (
    'train_cfg.max_iters=2 train_cfg.val_interval=2 default_hooks.checkpoint.interval=2 train_dataloader.batch_size=2'
)
APPENDED = {  # script: options that make it short
    'quickstart.sh': '--short',
    'synth_rooms.py': '--train 8 --val 4',
    'make_own_data.py': '--train 8 --val 2',
    'browse_dataset.py': '--count 2',
    'routing.py': '--max-images 2',
    'eval_boundary.py': '--allow-missing',  # a few photos are predicted
    'benchmark.py': '--images 8 --random',  # there are few rooms
    'train.py': f'--cfg-options {TRAINING}',
    'compare.py': '--options budget.iterations=2 seeds=[0] tasks=[depth]',
    'dist_train.sh': f'--cfg-options {TRAINING}',
}
PLACEHOLDERS = dict(
    CONFIG=CONFIG, CHECKPOINT='work_dirs/quickstart/iter_500.pth', GPUS='2', DIR='work_dirs/some', FOLDER='data/NYUDv2'
)
BOUNDARIES = {  # --dataset: (PRED_DIR, GT_DIR)
    'nyud': ('theirs/nyud', 'data/NYUDv2/edge'),
    'pascal_context': ('theirs/pascal', 'data/PASCALContext/pascal-context/trainval'),
}
REASONS = (
    (r'^(pip|mim) ', 'installs packages'),
    (r'^(source|git|cd|ln|export) ', 'is about the shell and the clone'),
    (r'tools/run_tests\.sh', 'runs the tests'),
    (r'\bbenchmarks/', 'measures large models, up to an hour long'),
    (r'model_converters/|\bcheckpoints/', 'needs published weights; tests/test_converters makes some'),
    (r'--int8', 'compares the scores of a trained model; tests/test_apis/test_int8.py has a small one'),
    (r'golden_report\.py', 'needs the reference data of the published models'),
    (r'camvid', 'needs CamVid'),
    (r'taskonomy', 'needs Taskonomy; tests/test_datasets writes some'),
    (r'nyud-small', 'needs the small copy of NYUD-v2'),
    (r'nyu_depth_v2_labeled', 'needs the official file of 2.8 GB; tests/test_datasets writes a small one'),
)
NEEDED = {'demo/app.py': 'gradio', 'deploy/export.py': 'onnxruntime', 'demo/onnx_demo.py': 'onnxruntime'}


def reason_not_to_run(line: str) -> str:
    """Why a simple command is not run, or an empty string."""
    plain = ' '.join(Command.words(line)[1])
    for pattern, reason in REASONS:
        if re.search(pattern, plain):
            return reason
    for script, module in NEEDED.items():
        if script in plain and find_spec(module) is None:
            return f'needs {module}, which is not installed'
    trains_or_tests = re.search(r'/(dist_)?(train|test)\.(py|sh) ', plain)
    return 'needs the real data and weights' if trains_or_tests and REAL_DATA.search(plain) else ''


def shorten(line: str) -> str:
    """The simple command with real names for its placeholders, and with options that make it short."""
    words = Command.words(line)[1]
    script = next((Path(word).name for word in words if word.endswith(('.py', '.sh'))), '')
    names = dict(PLACEHOLDERS)
    if 'PRED_DIR' in words:
        names['PRED_DIR'], names['GT_DIR'] = BOUNDARIES[words[words.index('--dataset') + 1]]
    short = re.sub(r'\s+#.*', '', line)  # quotes and patterns stay as they are, for the shell
    short = re.sub(r'(?<=\s)[A-Z_]+(?=\s|$)', lambda found: names.get(found[0], found[0]), short)
    if script == 'check_dataset.py' and '--dataset' in words:
        short += ' --any-count'  # splits of an archive have a known length
    if script == 'tutorial.py':
        short = f'TUTORIAL_STEPS=2 TUTORIAL_ROOMS=4 {short}'
    if script == 'check_configs.py':
        short = re.sub(r' configs$', ' configs/mlore', short)  # all of them are checked by themselves
    options = '' if '--fast-dev-run' in words else APPENDED.get(script, '')  # which is short itself
    if '--cfg-options' in short:
        return short.replace('--cfg-options', options or '--cfg-options', 1)
    return f'{short} {options}'.strip()


def make_materials() -> None:
    """What the pages take for granted, in the current folder: archives, photos, a video, predictions to score."""
    import cv2
    import numpy as np

    from mlore_mm.synth_rooms import Recipe, generate

    Path('photos').mkdir(exist_ok=True)
    for layout, pattern in dict(nyud='images/val*', pascal='JPEGImages/*').items():
        root, _ = generate('data', Recipe(layout, train=8, val=4))
        photos = sorted(root.glob(pattern))[:4]
        assert photos, f'{root} has no {pattern}'
        theirs = Path('theirs', layout)
        theirs.mkdir(parents=True, exist_ok=True)
        for photo in photos:
            image = cv2.imread(str(photo))
            cv2.imwrite(f'photos/{layout}_{photo.stem}.jpg', image)
            cv2.imwrite(str(theirs / f'{photo.stem}.png'), cv2.Canny(image, 50, 150))
    images = [cv2.imread(str(path)) for path in sorted(Path('photos').glob('*.jpg'))]
    height, width = np.min([image.shape[:2] for image in images], axis=0)
    video = cv2.VideoWriter('walk.mp4', cv2.VideoWriter_fourcc(*'mp4v'), 5, (int(width), int(height)))
    for image in images:
        video.write(np.ascontiguousarray(image[:height, :width]))
    video.release()
    cv2.imwrite('photo.jpg', images[0])


def name_checkpoint(line: str, folder: Path) -> None:
    """Give the checkpoint of a shortened training the name that it has after the whole one, too.

    Args:
        line: The command; one that does not train is passed over.
        folder: Where it was run.
    """
    words = Command.words(line)[1]
    if (
        len(words) < 2
        or '$' in line
        or '--fast-dev-run' in words
        or Path(words[1]).name not in ('train.py', 'dist_train.sh', 'quickstart.sh')
    ):
        return
    from mmengine.config import Config

    config = next((word for word in words[2:] if word.endswith('.py')), CONFIG)
    default = 'work_dirs/quickstart' if 'quickstart' in words[1] else f'work_dirs/{Path(config).stem}'
    work_dir = folder / (words[words.index('--work-dir') + 1] if '--work-dir' in words else default)
    iterations = Config.fromfile(folder / config, import_custom_modules=False).max_iters
    last = Path((work_dir / 'last_checkpoint').read_text().strip())
    shutil.copy2(folder / last, work_dir / f'iter_{iterations}.pth')
