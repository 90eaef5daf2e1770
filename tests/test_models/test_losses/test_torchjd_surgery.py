"""Aggregators of torchjd as gradient surgery: its numbers, their memory, what is refused."""

import pytest
import torch
from torch.testing import assert_close
from torchjd import aggregation

from mlore_mm.models.losses import AlignedMTL
from mlore_mm.models.losses.aggregators import AGGREGATORS, LEFT_OUT
from mlore_mm.models.losses.torchjd_surgery import _in_its_precision
from mlore_mm.models.output import MultiTaskOutput
from mlore_mm.registry import MODELS
from tests.test_models.test_losses.grams import gram_of, weights

OPTIONS = dict(
    CAGrad=dict(c=0.4),
    CRMOGM=dict(weighting=dict(type='PCGrad'), alpha=0.5),
    Constant=dict(weights=[1.0, 2.0, 3.0]),
    FairGrad=dict(alpha=2.0),
    Krum=dict(n_byzantine=0),
    SDMGrad=dict(lr=0.1, n_iter=2),
    TrimmedMean=dict(trim_number=1),
)

PACKAGES = dict(UPGrad='quadprog', DualProj='quadprog', CAGrad='cvxpy', NashMTL='ecos')


def test_every_aggregator_of_torchjd_is_offered():
    """A new version may bring new ones: then AGGREGATORS grows, or LEFT_OUT says why not."""
    known = {name for name in aggregation.__all__ if issubclass(getattr(aggregation, name), aggregation.Aggregator)}
    known |= {name.removesuffix('Weighting') for name in aggregation.__all__ if name.endswith('Weighting')}
    bases = {'', 'Aggregator', 'WeightedAggregator', 'GramianWeightedAggregator'}
    assert known - bases == {*AGGREGATORS, *LEFT_OUT}
    assert all(name in MODELS for name in AGGREGATORS)


@pytest.mark.parametrize('name', [name for name in AGGREGATORS if hasattr(aggregation, name)])
def test_each_gives_what_torchjd_gives(name):
    """Of three gradients with conflicts; summed where our default is the sum."""
    if name in PACKAGES:
        pytest.importorskip(PACKAGES[name], reason=f'{name} needs requirements/surgery.txt')
    torch.manual_seed(0)
    rows = torch.randn(3, 7, dtype=torch.float64)
    rows[1] -= rows[0]
    options = {key: torch.tensor(x) if isinstance(x, list) else x for key, x in OPTIONS.get(name, {}).items()}
    theirs = getattr(aggregation, name)(**options, **(dict(n_tasks=3) if name == 'NashMTL' else {}))
    if name in ('AlignedMTL', 'DualProj', 'UPGrad'):
        theirs.pref_vector = torch.ones(3, dtype=torch.float64)
    if name == 'Constant':
        theirs = aggregation.Constant(options['weights'].double())
    ours = MODELS.build(dict(type=name, **OPTIONS.get(name, {})))
    ours.prepare(3)
    torch.manual_seed(1)
    if AGGREGATORS[name] == 'elements':
        rows = rows.float()
        wanted = theirs(rows)
        torch.manual_seed(1)
        change, weights = ours.changes([list(rows)], torch.ones(()))
        assert weights is None
        assert_close(change[0] + rows.sum(dim=0), wanted)
        return
    wanted = theirs(rows)
    torch.manual_seed(1)
    assert_close(ours.combine(rows @ rows.t()) @ rows, wanted)


@pytest.mark.parametrize('name', ['GradVac', 'PCD', 'CRMOGM', 'MoDo', 'SDMGrad'])
def test_memory_of_a_method_is_in_the_checkpoint(name):
    """Three steps at a stretch, or with a restart before the third, are the same to the last bit."""
    torch.manual_seed(0)
    agreeing, conflict = torch.ones(3, 5), torch.tensor([[3.0, 0, 0, 0, 0], [-1, 1, 0, 0, 0], [0.5, 0, 2, 0, 0]])
    grams = [gram_of(*x.tolist()) for x in (agreeing + torch.rand(3, 5), agreeing + torch.rand(3, 5), conflict)]

    def build():
        surgery = MODELS.build(dict(type=name, **OPTIONS.get(name, {})))
        surgery.prepare(3)
        return surgery

    whole = build()
    steps = [whole.combine(gram) for gram in grams[:2]]
    resumed, seed = build(), torch.get_rng_state()
    resumed.load_state_dict(whole.state_dict())
    steps.append(whole.combine(grams[2]))
    torch.set_rng_state(seed)
    assert torch.equal(resumed.combine(grams[2]), steps[2])
    torch.set_rng_state(seed)
    assert not torch.equal(build().combine(grams[2]), steps[2]), 'the memory has a say'


def test_gradients_that_depend_but_for_rounding():
    """The third is the sum of the others, up to 1e-8: it adds no direction, though its rest has one in 64 bits."""
    rows = torch.randn(2, 50, dtype=torch.float64)
    rows = torch.cat([rows, rows.sum(dim=0, keepdim=True) + 1e-8 * torch.randn(1, 50, dtype=torch.float64)])
    exact = rows.clone()
    exact[2] = exact[0] + exact[1]
    found, wanted = (AlignedMTL().combine(x @ x.t()) @ x for x in (rows, exact))
    assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_precision_in_which_gradients_depend():
    """Eigenvalues of 1e-9 of the largest are rounding of 32 bits; of 1e-3 they are a direction, and none is none.

    Rounding reaches to the number of gradients (here 2) times what one bit is worth: 2.4e-7 and 4.4e-16.
    """
    rounding = torch.float32
    for smallest, dtype in ((1e-9, rounding), (2e-7, rounding), (3e-7, torch.float64), (1e-3, torch.float64)):
        assert _in_its_precision(torch.diag(weights(1.0, smallest))).dtype == dtype
    for smallest, dtype in ((0.0, torch.float64), (3e-16, torch.float64), (6e-16, rounding)):
        assert _in_its_precision(torch.diag(weights(1.0, smallest))).dtype == dtype


def test_size_of_the_losses_as_the_method_sees_it():
    """FairGrad depends on it: it is that of the unscaled losses, whatever the scale of mixed precision is."""
    found = []
    for scale in (1.0, 1024.0):
        surgery, x = MODELS.build(dict(type='FairGrad', alpha=2.0)), torch.zeros(2, requires_grad=True)
        surgery.scale = torch.tensor(scale)
        y = x * 1
        found.append(surgery((y,), dict(loss_a=y[0], loss_b=2 * y[1]), MultiTaskOutput(dict(a=y, b=y))))
    assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)


def test_wrong_options_and_missing_packages_are_named(monkeypatch):
    with pytest.raises(ValueError, match=r"type='CAGrad'\): missing a required argument: 'c'. It takes c, norm_eps"):
        MODELS.build(dict(type='CAGrad'))
    with pytest.raises(ValueError, match=r"type='MGDA'.*'eps'. It takes epsilon, max_iters"):
        MODELS.build(dict(type='MGDA', eps=1))
    monkeypatch.setattr('torchjd._mixins.find_spec', lambda name: None)
    for name, package in PACKAGES.items():
        with pytest.raises(
            ValueError, match=rf"type='{name}'\) needs packages.*{package}.*pip install -r requirements/surg"
        ):
            MODELS.build(dict(type=name, **OPTIONS.get(name, {})))


def test_numbers_that_are_not_finite_change_nothing():
    """Of methods that work number by number; others have weights of one then."""
    change, weights = MODELS.build(dict(type='GradDrop')).changes(
        [[torch.tensor([torch.inf, 1.0])] * 2], torch.ones(())
    )
    assert weights is None
    assert change[0][0] == 0


def test_a_smoothed_method_may_be_named_alone():
    gram = gram_of((1, 0), (-1, 1))
    by_name, by_dict = (
        MODELS.build(dict(type='CRMOGM', weighting=w, alpha=0.5)) for w in ('PCGrad', dict(type='PCGrad'))
    )
    assert_close(by_name.combine(gram), by_dict.combine(gram))
