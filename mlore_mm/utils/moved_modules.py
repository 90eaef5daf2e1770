"""Old import paths, for one version: each imports the module that took its place, with a warning that names it."""

import importlib
import sys
import warnings
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

_ROOMS = {
    'models.ops': ('models.layers', ('all_reduce', 'recompute', 'sync_batch_norm', 'upsampled_conv', 'winograd')),
    'apis.inference': (
        'apis',
        ('inferencer', 'inferencer_options', 'photo_pipeline', 'photos', 'sources', 'result_writer')
        + ('save_predictions', 'video', 'model_index'),
    ),
    'apis.analysis': (
        'apis',
        ('analyze_logs', 'benchmark', 'browse', 'eval_boundary', 'flops', 'model_parts', 'routing_report')
        + ('trivial', 'baselines'),
    ),
    'apis.deploy': ('apis', ('export', 'export_check')),
    'apis.training': ('apis', ('train', 'test', 'config')),
}
MOVED = {f'{old}.{name}': f'{new}.{name}' for new, (old, names) in _ROOMS.items() for name in names}
MOVED |= {
    'models.layers.router_trace': 'routing.records',
    'models.layers.top_k_gate': 'routing.top_k_gate',
    'utils.routing_stats': 'routing.statistics',
    'models.inference': 'models.sliding_windows',
    'datasets.thin': 'datasets.line_thinning',
    'datasets.synth_rooms': 'synth_rooms',
    'engine.loading': 'engine.checkpoints',
    'engine.whole_file_backend': 'engine.checkpoints.backend',
    'utils.safe_load': 'engine.checkpoints.reader',
    'utils.checkpoint_files': 'engine.checkpoints.files',
    'utils.compare_checkpoints': 'engine.checkpoints.compare',
    'converters.files': 'engine.checkpoints',
}

GONE = {'apis.page': 'demo/photo_page/page.py', 'apis.viewer': 'demo/photo_page/viewer.py'}


class _MovedModules(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, path=None, target=None) -> ModuleSpec | None:
        if fullname.startswith('mlore_mm.') and (place := GONE.get(fullname.partition('.')[2])):
            raise ModuleNotFoundError(f'{fullname} is now part of the demo: {place}.', name=fullname)
        if fullname.partition('.')[0] == 'mlore_mm' and fullname.partition('.')[2] in MOVED:
            return ModuleSpec(fullname, self)
        return None

    def create_module(self, spec: ModuleSpec):
        return None

    def exec_module(self, module) -> None:
        new = 'mlore_mm.' + MOVED[module.__name__.partition('.')[2]]
        warnings.warn(f'{module.__name__} is now {new}; the old name goes in 0.3.', FutureWarning, stacklevel=2)
        sys.modules[module.__name__] = importlib.import_module(new)


def keep_old_imports() -> None:
    """Let the old paths be imported; may be called again."""
    if not any(isinstance(finder, _MovedModules) for finder in sys.meta_path):
        sys.meta_path.append(_MovedModules())
