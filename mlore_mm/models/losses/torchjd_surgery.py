"""Gradient surgery by the aggregators of torchjd; ``aggregators.py`` lists them."""

import inspect

import torch
from torch import Tensor

from mlore_mm.models.losses.gradient_surgery import GradientSurgery, Levels

# How a method is asked for its result: from the inner products of the gradients; from any matrix of T rows with these
# inner products, since its result turns with the gradients; or number by number.
GRAM, ROWS, ELEMENTS = 'gram', 'rows', 'elements'
_HAVE_WEIGHTS = ('Constant', 'Mean', 'NashMTL', 'Random', 'Sum')
_RANK_COUNTS = ('AlignedMTL', 'IMTLG')
# Those whose weights add up to 1 where the tasks do not conflict; here plain summation is the measure.
_SUMMED = ('AlignedMTL', 'DualProj', 'UPGrad')


class TorchJDSurgery(GradientSurgery):
    """Gradient surgery by a method of torchjd (https://torchjd.org, MIT), at the shared features.

    Options are torchjd's, with lists for tensors: ``dict(type='CAGrad', c=0.4)``. ``CRMOGM`` smooths another method:
    ``dict(type='CRMOGM', weighting=dict(type='UPGrad'), alpha=0.9)``.

    Differs from torchjd and the papers: gradients are those at the shared features and not at the encoder's weights,
    which would take T passes through the encoder. AlignedMTL, DualProj and UPGrad add up the tasks where the papers
    take their mean (``pref_vector`` says otherwise), so that tasks which agree get the weight 1. The others are as in
    torchjd: weights of Mean, MGDA, IMTLG, Random and Krum add up to 1, so the encoder learns T times slower than by a
    sum. MoDo and SDMGrad take one batch where the papers take two. Where gradients are linear combinations of others up
    to their rounding, AlignedMTL and IMTLG get the inner products in 32 bits, which is the precision they have.

    What stateful methods remember (GradVac, PCD, CRMOGM, MoDo, SDMGrad) is in checkpoints; NashMTL starts afresh.

    Raises:
        ValueError: An option that the method does not take, or packages that it needs are not installed.
    """

    asks = GRAM

    def __init__(self, **options) -> None:
        super().__init__()
        # In a list: not a part of the module, since what torchjd remembers changes its shape.
        self._method = [_build(type(self).__name__, options, self.asks)]
        self._without_preference = [x for x in self._method[0].modules() if _sums(x) and x.pref_vector is None]
        self._state: list[str] = []  # names of what a stateful method remembers
        self._in_step = False  # whether torchjd's state is that of the buffers
        self.register_buffer('calls', torch.zeros((), dtype=torch.long))

    def prepare(self, num_tasks: int) -> None:
        method = self._method[0]
        if self.asks != GRAM or not hasattr(method, 'reset'):
            return
        with torch.random.fork_rng(devices=[]):
            self._ask(torch.eye(num_tasks, dtype=torch.float64))
        for name, value in method.named_buffers():
            self._state.append(name)
            self.register_buffer(_own_name(name), torch.zeros_like(value))
        method.reset()

    def combine(self, gram: Tensor) -> Tensor:
        method = self._method[0]
        if self._state and self.calls > 0 and not self._in_step:  # after loading
            with torch.random.fork_rng(devices=[]):
                self._ask(gram)  # torchjd makes its state for this number of tasks, which is then filled
            for name, value in method.named_buffers():
                value.copy_(self.get_buffer(_own_name(name)))
        weights = self._ask(gram)
        for name, value in method.named_buffers() if self._state else ():
            setattr(self, _own_name(name), value.detach().clone().to(self.calls.device))
        self._in_step = True
        self.calls += 1
        return weights

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._in_step = False

    def _ask(self, gram: Tensor) -> Tensor:
        """Inner products (T, T) to weights (T,)."""
        method = self._method[0]
        for part in self._without_preference:
            part.pref_vector = torch.ones(len(gram), dtype=gram.dtype)
        if self.asks == GRAM:
            return method(_in_its_precision(gram) if type(self).__name__ in _RANK_COUNTS else gram).to(gram)
        if hasattr(method, 'n_tasks') and method.n_tasks != len(gram):
            method.n_tasks = len(gram)
            method.reset()
        values, vectors = torch.linalg.eigh(gram)
        rows = vectors * values.clamp(min=0).sqrt()
        if type(self).__name__ in _HAVE_WEIGHTS:
            return method.weighting(rows).to(gram)
        return method(rows) @ torch.linalg.pinv(rows)

    def changes(self, levels: Levels, scale: Tensor) -> tuple[list[Tensor], Tensor | None]:
        if self.asks != ELEMENTS:
            return super().changes(levels, scale)
        changes = []
        for level in levels:
            rows = torch.stack([gradient.flatten().float() for gradient in level])
            if getattr(self._method[0], 'leak', None) is not None:
                self._method[0].leak = self._method[0].leak.to(rows)
            change = self._method[0](rows) - rows.sum(dim=0)
            changes.append(torch.nan_to_num(change, nan=0.0, posinf=0.0, neginf=0.0).view_as(level[0]))
        return changes, None


def _build(name: str, options: dict, asks: str = GRAM):
    """torchjd's object: what turns inner products into weights, or rows into one.

    Raises:
        ValueError: See :class:`TorchJDSurgery`.
    """
    from torchjd import aggregation  # takes seconds, and only this needs it

    cls = getattr(aggregation, f'{name}Weighting' if asks == GRAM else name)
    options = {key: torch.tensor(x) if isinstance(x, (list, tuple)) else x for key, x in options.items()}
    if name == 'NashMTL':
        options.setdefault('n_tasks', 1)  # set for every call
    if name == 'CRMOGM' and isinstance(options.get('weighting'), (str, dict)):
        inner = options['weighting']
        inner = dict(type=inner) if isinstance(inner, str) else dict(inner)
        options['weighting'] = _build(inner.pop('type'), inner)
    try:
        inspect.signature(cls).bind(**options)
    except TypeError as error:
        taken = ', '.join(inspect.signature(cls).parameters) or 'no options'
        raise ValueError(f"gradient_surgery=dict(type='{name}'): {error}. It takes {taken}.") from error
    try:
        return cls(**options)
    except ImportError as error:
        raise ValueError(
            f"gradient_surgery=dict(type='{name}') needs packages that are not installed: {error} "
            'All of them: pip install -r requirements/surgery.txt'
        ) from error


def _in_its_precision(gram: Tensor) -> Tensor:
    """In 32 bits where rounding of that size decides whether the gradients are independent."""
    values = torch.linalg.eigvalsh(gram)
    largest, count = values.abs().max(), len(gram)
    doubtful = values.abs() <= largest * count * torch.finfo(torch.float32).eps
    clear = values.abs() <= largest * count * torch.finfo(torch.float64).eps
    return gram.float() if (doubtful & ~clear).any() else gram


def _sums(module: torch.nn.Module) -> bool:
    return type(module).__name__.removesuffix('Weighting') in _SUMMED


def _own_name(name: str) -> str:
    return 'state' + name.replace('.', '_')
