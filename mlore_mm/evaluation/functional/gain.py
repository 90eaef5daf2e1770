"""The multi-task gain."""

from collections.abc import Mapping


def relative_gain(value: float, baseline: float, higher_is_better: bool) -> float:
    """Percent by which ``value`` is better than ``baseline``, negative where it is worse.

    Raises:
        ValueError: The baseline is zero, so that nothing can be relative to it.
    """
    if baseline == 0:
        raise ValueError('The multi-task gain is relative to its baseline, but a baseline is 0. Check `baselines`.')
    sign = 1 if higher_is_better else -1
    return 100 * sign * (value - baseline) / baseline


def delta_m(gains: Mapping[str, float]) -> float:
    """Mean of the relative gains in percent: 100/T sum_t (-1)^(lower is better) (M_t - B_t) / B_t.

    Source: Maninis et al., CVPR 2019; Vandenhende et al., TPAMI 2021, Eq. 8.
    """
    return sum(gains.values()) / len(gains)
