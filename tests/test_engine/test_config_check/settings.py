"""A config, changes to it, and its check."""

from mmengine.config import Config

from mlore_mm.apis.training.overrides import apply_overrides
from mlore_mm.engine.config_check import check_config, check_names
from mlore_mm.tasks import bind_tasks
from tests.shared import REPO

CONFIG = str(REPO / 'configs/mlore/mlore_tiny_synthrooms_nyud.py')


def check(cfg) -> None:
    check_names(cfg)
    check_config(bind_tasks(cfg))


def changed(config: Config, key: str, value) -> Config:
    cfg = Config(config.to_dict(), cfg_text=config.text)
    apply_overrides(cfg, {key: value})
    return cfg
