"""Walks through components (dicts with a ``type``) and compares their keys with what the class takes."""

from collections.abc import Callable, Iterable
from math import isfinite
from numbers import Real

from mmengine.registry import Registry

from mlore_mm import registry as ours
from mlore_mm.engine.config_check.dry_build import constructor_says, what_it_says
from mlore_mm.utils.accepted_keys import Accepted, accepted_keys, closest, unknown_keys
from mlore_mm.utils.value_forms import wrong_form, wrong_text

# Which registry a part comes from, by the parameter that holds it; otherwise from that of the whole.
REGISTRY_OF = dict(
    optimizer=ours.OPTIMIZERS,
    dataset=ours.DATASETS,
    datasets=ours.DATASETS,
    sampler=ours.DATA_SAMPLERS,
    batch_sampler=ours.DATA_SAMPLERS,
    pipeline=ours.TRANSFORMS,
    transforms=ours.TRANSFORMS,
    labels=ours.LABEL_READERS,
    init_cfg=ours.WEIGHT_INITIALIZERS,
    vis_backends=ours.VISBACKENDS,
    metric=ours.METRICS,
    metrics=ours.METRICS,
    loss=ours.MODELS,
)
# Dicts whose keys mmcv's builders take apart themselves, beyond what the class takes.
LAYERS = ('norm_cfg', 'conv_cfg', 'act_cfg', 'padding_cfg', 'upsample_cfg', 'plugins')
EXTRA = dict(init_cfg=('override', 'layer', 'checkpoint', 'prefix'))
# Least and largest value of a number, by its key, wherever it stands; drop rates stay below their largest.
LEAST = dict(
    max_iters=1, max_epochs=1, val_interval=1, val_begin=0, batch_size=1, num_workers=0, prefetch_factor=1,
    loss_weight=0, lr=0, weight_decay=0, accumulative_counts=1, base_batch_size=1, times=1, begin=0, end=1, eta_min=0,
    interval=-1, max_keep_ckpts=-1, momentum=0, seed=0, samples=0, num_experts=1, out_channels=1, embed_dims=1,
    num_heads=1, num_layers=1, patch_size=1, top_k=1, task_rank=1, size_divisor=1, windows_at_once=1,
    lr_mult=0, decay_mult=0, power=0,
)  # fmt: skip
ABOVE_ZERO = ('max_norm', 'clip_value', 'scale_factor', 'layer_decay')
MOST = dict(prob=1, momentum=1, layer_decay=1, cat_max_ratio=1)
BELOW = dict(drop_path_rate=1, drop_rate=1, attn_drop_rate=1, dropout=1)
FRACTIONS = ('loss_weight', 'lr', 'weight_decay', 'eta_min', 'momentum', 'lr_mult', 'decay_mult', 'power')


class Checker:
    """Collects ``problems`` while it walks; each names its place by dotted key."""

    def __init__(self, scope: str) -> None:
        self.scope, self.problems = scope, []

    # ---- dicts with a type ---------------------------------------------------------------------------------------
    def component(
        self,
        config,
        place: str,
        registry: Registry,
        default: str | Callable | None = None,
        extra: Iterable[str] = (),
    ) -> None:
        """A dict that is built by a registry.

        Args:
            config: The dict; objects that are built already pass.
            place: Dotted key.
            registry: Where its class is looked for.
            default: What it is where it names no ``type``.
            extra: Keys that the builder takes out before the class sees them.
        """
        if isinstance(config, str):
            self.problems.append(f'{place} is {config!r}, expected dict(type={config!r}).')
        if isinstance(config, (bool, int, float)) and config is not False:
            self.problems.append(f"{place} is {config!r}, expected dict(type='...').")
        if not isinstance(config, dict):
            return
        kind = config.get('type', default)
        if kind is None:
            self.problems.append(f'{place} has no `type`, so nothing can be built from {dict(config)}.')
            return
        cls = self.find(kind, registry) if isinstance(kind, str) else kind
        if cls is None:
            meant = closest(kind.split('.')[-1], known_types(registry, kind))
            hint = f'Did you mean {meant!r}?' if meant else 'Is its module named in custom_imports?'
            self.problems.append(f'{place}.type is {kind!r}, which no {registry.name} is called. {hint}')
            return
        before = len(self.problems)
        self.keys(config, place, self.accepted(cls, config, registry), cls, ('type', '_scope_', *extra))
        completed = getattr(cls, 'complete_config', dict)(config)
        self.inside(completed, place, registry, getattr(cls, 'config_keys', {}))
        if len(self.problems) == before and (said := what_it_says(cls, config, extra)):
            self.problems.append(f'{place}: {said}')

    def accepted(self, cls, config: dict, registry: Registry) -> Accepted:
        """What the class takes, and what the class takes to which it hands the rest."""
        found = accepted_keys(cls)
        if found.passed_to is None:
            return found
        key, default = found.passed_to
        other = self.find(config.get(key, default), registry)
        rest = Accepted({}, False) if other is None else accepted_keys(other)
        return Accepted({**rest.names, **found.names}, rest.complete)

    def try_out(self, config: dict, place: str, registry: Registry, **more) -> None:
        """Build it, to see what its constructor says."""
        cls = self.find(config['type'], registry) if isinstance(config.get('type'), str) else config.get('type')
        if cls is not None and (said := constructor_says(cls, {**config, **more})):
            self.problems.append(f'{place}: {said}')

    def keys(self, config: dict, place: str, accepted: Accepted, owner, extra: Iterable[str] = ()) -> None:
        """The keys of one dict, and the form of their values; ``owner`` is a class, or words for what takes them."""
        for key, hint in unknown_keys(config, accepted, extra).items():
            self.problems.append(f'{place}.{key}: {_name(owner)} takes no {key!r}. {hint}')
        # Annotations of others are not always meant so.
        wrong = wrong_form if getattr(owner, '__module__', '').startswith(f'{ours.__package__}.') else wrong_text
        for key, value in config.items():
            self.value(value, f'{place}.{key}', key, wrong(value, accepted.names.get(key)))

    def inside(self, config: dict, place: str, registry: Registry, known: dict) -> None:
        """The parts of a component; ``known`` are the keys of those that are plain dicts."""
        for key, value in config.items():
            here = f'{place}.{key}'
            if key in known:
                self.plain(value, here, known[key])
            elif key in ('metainfo', 'palette', 'classes', 'tasks'):
                continue  # data; and the tasks, which are checked once, at the top
            else:
                self.anything(value, here, REGISTRY_OF.get(key, registry), key)

    def anything(self, value, place: str, registry: Registry, key: str = '') -> None:
        """Whatever stands there: components are checked wherever they are found."""
        if isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                self.anything(item, f'{place}.{index}', registry, key)
        elif isinstance(value, dict):
            if key in LAYERS:
                self.layer(value, place)
                return
            if 'type' in value and isinstance(value['type'], (str, type)):
                self.component(value, place, registry, extra=EXTRA.get(key, ()))
            else:
                self.inside(value, place, registry, {})

    def layer(self, config: dict, place: str) -> None:
        """A layer of mmcv's builders, such as ``dict(type='BN', requires_grad=True)``."""
        kind = config.get('type')
        cls = self.find(kind, ours.MODELS) if isinstance(kind, str) else None
        if isinstance(kind, str) and cls is None:
            meant = closest(kind, known_types(ours.MODELS))
            hint = f' Did you mean {meant!r}?' if meant else ''
            self.problems.append(f'{place}.type is {kind!r}, which no layer is called.{hint}')
        elif cls is not None:
            self.keys(config, place, accepted_keys(cls), cls, ('type', 'requires_grad'))

    def is_dict(self, config, place: str, example: str) -> bool:
        """Whether it is one; told where it is something else."""
        if config is not None and not isinstance(config, dict) and not hasattr(config, '__dict__'):
            self.problems.append(f'{place} is {config!r}, expected {example}.')
        return isinstance(config, dict)

    # ---- plain dicts -----------------------------------------------------------------------------------------------
    def plain(self, config, place: str, known, names: bool = True) -> None:
        """A dict without a ``type``.

        ``known`` are its keys, or the class or function that takes them, or a dict that says the same of what is
        inside; of a value that is no dict, the set of what it may be or a tuple of types.
        ``names``: whether a text may stand in the dict's place.
        """
        if isinstance(known, tuple) and known and all(isinstance(x, type) for x in known):
            if wrong := wrong_text(config, known):
                self.problems.append(f'{place} {wrong}.')
            return
        if isinstance(known, (set, frozenset)):
            if config is not None and config is not False and config not in known:
                meant = closest(str(config), [x for x in known if isinstance(x, str)])
                hint = f'Did you mean {meant!r}?' if meant else f'It is one of {sorted(known, key=str)}.'
                self.problems.append(f'{place} is {config!r}. {hint}')
            return
        if known is not None and config and isinstance(config, (bool, int, float, *(() if names else (str,)))):
            keys = list(accepted_keys(known).names if callable(known) else known)
            self.problems.append(f'{place} is {config!r}, expected a dict with keys such as {", ".join(keys[:4])}.')
        if not isinstance(config, dict):
            return
        accepted = accepted_keys(known) if callable(known) else Accepted(dict.fromkeys(known), True)
        self.keys(config, place, accepted, f'`{place.split(".")[-1]}`')
        for key, value in config.items():
            if isinstance(known, dict) and known.get(key) is not None:
                self.plain(value, f'{place}.{key}', known[key])

    def value(self, value, place: str, key: str, wrong: str | None) -> None:
        """A value of another form than expected, and numbers that are too small."""
        if wrong := wrong or wrong_number(key, value):
            self.problems.append(f'{place} {wrong}.')

    def find(self, kind: str, registry: Registry):
        """The class of this name: in the registry where it belongs, else in any other."""
        root = registry
        while root.parent is not None:
            root = root.parent
        for candidate in (root, *(x for x in _others(root) if self.scope in x.children)):
            with candidate.switch_scope_and_registry(self.scope) as current:
                try:
                    cls = current.get(kind)
                except (KeyError, ImportError):  # a scope that is not installed
                    cls = None
            if cls is not None:
                return cls
        return registry.get(kind)


def wrong_number(key: str, value) -> str | None:
    """What is wrong with a number that is called ``key``: out of its range, a text, or no whole number."""
    if key not in {*LEAST, *ABOVE_ZERO, *MOST, *BELOW} or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return f'is the text {value!r}, expected a number' if key in LEAST else None
    if not isinstance(value, Real):
        return None
    if key in LEAST and not value >= LEAST[key]:
        return f'is {value}, expected {LEAST[key]} or more'
    if key in ABOVE_ZERO and not value > 0:
        return f'is {value}, expected a number above 0'
    if key in MOST and not value <= MOST[key]:
        return f'is {value}, expected {MOST[key]} at most'
    if key in BELOW and not 0 <= value < BELOW[key]:
        return f'is {value}, expected 0 or more and less than {BELOW[key]}'
    if key in LEAST and key not in FRACTIONS and isfinite(value) and value != int(value):
        return f'is {value}, expected a whole number'
    return None


def _others(root: Registry):
    """mmengine's registries besides ``root``."""
    import mmengine.registry as theirs

    return (x for x in vars(theirs).values() if isinstance(x, Registry) and x is not root)


def known_types(registry: Registry, wanted: str = '') -> list[str]:
    """Names that the registry and its parents know, and the one that ``wanted`` names by its scope."""
    names = []
    scope, dot, _ = wanted.rpartition('.')
    if dot and registry.parent is not None and scope in registry.parent.children:
        names += registry.parent.children[scope].module_dict
    while registry is not None:
        names += registry.module_dict
        registry = registry.parent
    return names


def _name(owner) -> str:
    return getattr(owner, '__name__', str(owner))
