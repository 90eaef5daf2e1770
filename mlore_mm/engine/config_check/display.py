"""What a config says about pictures and lines of the log."""

from mmengine.logging import HistoryBuffer

from mlore_mm import registry as ours
from mlore_mm.engine.config_check.components import Checker
from mlore_mm.utils.accepted_keys import Accepted, accepted_keys, closest


def visualizer(checker: Checker, name: str, config) -> None:
    checker.component(config, name, ours.VISUALIZERS, 'Visualizer')
    given = config.get('name') if isinstance(config, dict) else None
    if given is not None and not isinstance(given, str):
        checker.problems.append(f'{name}.name is {given!r}, expected a text.')


def log_processor(checker: Checker, name: str, config) -> None:
    """How scalars are smoothed for the log; ``custom_cfg`` is read when the first line is written."""
    checker.component(config, name, ours.LOG_PROCESSORS, 'LogProcessor')
    if not isinstance(config, dict):
        return
    _window(checker, f'{name}.window_size', config.get('window_size'))
    entries = config.get('custom_cfg') or []
    if not isinstance(entries, (list, tuple)):
        checker.problems.append(f"{name}.custom_cfg is {entries!r}, expected [dict(data_src='loss', ...)].")
        return
    methods = HistoryBuffer()._statistics_methods
    for index, entry in enumerate(entries):
        where = f'{name}.custom_cfg.{index}'
        if not checker.is_dict(entry, where, "dict(data_src='loss', method_name='mean', window_size=100)"):
            continue
        method = entry.get('method_name')
        taken = accepted_keys(methods[method]).names if method in methods else {'window_size': None}
        known = Accepted(dict.fromkeys(('data_src', 'method_name', 'log_name', *taken)), True)
        checker.keys(entry, where, known, 'custom_cfg', ('window_size',))
        _window(checker, f'{where}.window_size', entry.get('window_size'), ('epoch', 'global'))
        missing = [key for key in ('data_src', 'method_name') if key not in entry]
        if missing:
            checker.problems.append(f'{where} has no {" and no ".join(missing)}.')
        elif method not in methods:
            meant = closest(str(method), methods)
            hint = f'Did you mean {meant!r}?' if meant else f'There are {", ".join(methods)}.'
            checker.problems.append(f'{where}.method_name is {method!r}. {hint}')


def _window(checker: Checker, place: str, value, names: tuple[str, ...] = ()) -> None:
    """Over how many iterations the log smooths."""
    if value is None or value in names or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return
    also = f', or one of {names}' if names else ''
    checker.problems.append(f'{place} is {value!r}, expected a whole number above 0{also}.')
