"""The check of a whole config."""

from mmengine.runner import Runner

from mlore_mm.engine.config_check.components import Checker
from mlore_mm.engine.config_check.meanings import (
    check_baselines,
    check_counting,
    check_headlines,
    check_save_best,
    check_scope,
)
from mlore_mm.engine.config_check.places import FIXED, PLACES
from mlore_mm.engine.config_check.top_level import raise_mistakes
from mlore_mm.utils.accepted_keys import accepted_keys
from mlore_mm.utils.value_forms import wrong_form, wrong_text

TEXTS = ('load_from', 'work_dir', 'experiment_name', 'default_scope')  # a number there fails late


def check_config(cfg) -> None:
    """Find every key that nothing takes, every unknown class, and numbers out of their range.

    Args:
        cfg: A bound config, see :func:`mlore_mm.tasks.bind_tasks`. It is not changed.

    Raises:
        ValueError: All mistakes, a line each, with the nearest right name.
    """
    if wrong := check_scope(cfg):
        raise_mistakes(wrong, cfg)
    checker = Checker(cfg.get('default_scope') or 'mlore_mm')
    for name, place in PLACES.items():
        if cfg.get(name) is not None:
            place(checker, name, cfg[name])
    for name, expected in accepted_keys(Runner).names.items():
        wrong = (wrong_form if name in TEXTS else wrong_text)(cfg.get(name), expected)
        if wrong:
            checker.problems.append(f'{name} {wrong}.')
    for name, known in FIXED.items():
        checker.plain(cfg.get(name), name, known, names=False)
    meanings = (check_baselines, check_save_best, check_headlines, check_counting)
    raise_mistakes([*checker.problems, *(problem for check in meanings for problem in check(cfg))], cfg)
