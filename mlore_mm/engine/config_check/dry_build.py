"""What small components say about their settings, found by building them for a moment."""

from collections.abc import Iterable

from mmcv.transforms import BaseTransform
from mmengine.hooks import Hook

from mlore_mm.datasets.label_readers import LabelReader

# Made of values alone: building one reads and writes nothing.
CHEAP = (BaseTransform, LabelReader, Hook)


def what_it_says(cls, config: dict, extra: Iterable[str] = ()) -> str | None:
    """The error of a component's constructor; None where it has none, or is too large to be built twice.

    Args:
        cls: The class.
        config: Its settings, all of whose keys are known.
        extra: Keys that the builder takes out before the class sees them.
    """
    if not (isinstance(cls, type) and issubclass(cls, CHEAP)) or _holds_components(list(config.values())):
        return None
    return constructor_says(cls, config, extra)


def constructor_says(cls, config: dict, extra: Iterable[str] = ()) -> str | None:
    """As :func:`what_it_says`, of any class."""
    try:
        cls(**{key: value for key, value in config.items() if key not in ('type', '_scope_', *extra)})
    except (ValueError, TypeError, AssertionError, LookupError, RuntimeError, AttributeError) as error:
        said = str(error).strip() or type(error).__name__
        return (
            said if isinstance(error, ValueError) else f'{cls.__name__} cannot be built from {_plain(config)}: {said}'
        )
    return None


def _plain(config: dict) -> dict:
    return {key: value for key, value in config.items() if key not in ('params', 'optimizer')}


def _holds_components(value) -> bool:
    """Whether there are parts that would be built as well; these are looked at one by one."""
    if isinstance(value, dict):
        return 'type' in value or _holds_components(list(value.values()))
    return isinstance(value, (list, tuple)) and any(map(_holds_components, value))
