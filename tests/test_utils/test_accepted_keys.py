from torch import nn
from torch.optim import AdamW

from mlore_mm.registry import MODELS
from mlore_mm.tasks import Depth
from mlore_mm.utils.accepted_keys import accepted_keys, closest, unknown_keys


class Base:
    def __init__(self, base: int = 0) -> None: ...


class Middle(Base):
    def __init__(self, middle: 'bool | None' = None, *, flag: bool = False, **kwargs) -> None:
        kwargs.setdefault('base', 1)
        super().__init__(**kwargs)


class Plain(Middle):
    pass


class Settled(Middle):
    def __init__(self, **kwargs) -> None:
        super().__init__(middle=True, **kwargs)


class Elsewhere(Base):
    def __init__(self, interval: int = 1, **kwargs) -> None:
        self.size = kwargs.pop('size', None)
        self.options = kwargs


def function(a, b: float = 1.0): ...


def test_keys_of_parents_are_taken_through_kwargs():
    accepted = accepted_keys(Plain)
    assert accepted.complete
    assert accepted.names == dict(middle=(bool, type(None)), flag=(bool,), base=None)  # read by name as well
    assert accepted_keys(function).names == dict(a=None, b=(float,))


def test_what_a_class_gives_its_parent_cannot_be_given_again():
    assert set(accepted_keys(Settled).names) == {'flag', 'base'}


def test_kinds_by_default_where_nothing_is_annotated():
    def draw(alpha=0.5, closed=True, size=3, name='x', other=None): ...

    forms = dict(alpha=(float,), closed=(bool,), size=(int,), name=None, other=None)
    assert accepted_keys(draw).names == forms


def test_kwargs_that_go_elsewhere_may_hold_anything_but_near_misses():
    accepted = accepted_keys(Elsewhere)
    assert not accepted.complete
    assert set(accepted.names) == {'interval', 'size'}
    assert unknown_keys(dict(anything=1, intervall=2), accepted) == {'intervall': "Did you mean 'interval'?"}


def test_classes_of_others():
    assert {'lr', 'betas'} <= set(accepted_keys(AdamW).names)
    resnet = accepted_keys(MODELS.get('mmseg.ResNetV1c'))  # takes **kwargs only
    assert resnet.complete
    assert {'depth', 'norm_cfg', 'init_cfg'} <= set(resnet.names)
    assert accepted_keys(Depth).names['loss_weight'] == (float,)


def test_what_was_meant():
    assert closest('AdamWW', ['Adam', 'AdamW', 'SGD']) == 'AdamW'
    assert closest('miou', ['mIoU', 'mAcc']) == 'mIoU'
    assert closest('zzz', ['mIoU']) is None
    assert unknown_keys(dict(zzz=1, _scope_=2), accepted_keys(Base)) == {'zzz': 'It takes base.'}


class NamesAClass:
    def __init__(self, kind: str = 'Base', **kwargs) -> None:
        self.inner = dict(type=kind, **kwargs)


def test_kwargs_that_go_to_a_class_named_by_a_parameter():
    assert accepted_keys(NamesAClass).passed_to == ('kind', 'Base')
    assert accepted_keys(Elsewhere).passed_to is None


def test_a_module_without_a_constructor_takes_nothing():
    class Loss(nn.Module):
        pass

    assert accepted_keys(Loss).complete
    assert unknown_keys(dict(beta=1), accepted_keys(Loss)) == {'beta': 'It takes nothing.'}


class Reads(Base):
    def __init__(self, *args, first=1, **kwargs) -> None:
        if 'inside' in kwargs and kwargs.get('got') and kwargs['taken']:
            self.first = first
        super().__init__(*args, **kwargs)


class Twice(Base):
    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.copy = dict(type='Base', **kwargs)


class Keeps(Base):
    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.kept = kwargs


class OtherMethod(Base):
    def __init__(self, **kwargs) -> None:
        super().setup(**kwargs)


class Later(Base):
    def __init__(self, later: 'NotThere' = 3, **kwargs) -> None:  # noqa: F821
        super().__init__(**kwargs)


def test_how_kwargs_are_followed():
    reads = accepted_keys(Reads)
    assert reads.complete
    assert list(reads.names) == ['first', 'got', 'taken', 'base']  # a comparison alone takes nothing
    assert reads.names['base'] == (int,)
    for target in (Twice, Keeps, OtherMethod):
        assert not accepted_keys(target).complete
        assert accepted_keys(target).passed_to is None
    assert set(accepted_keys(Later).names) == {'later', 'base'}
    assert not accepted_keys(dict).complete  # written in C
    assert accepted_keys(lambda self, x: 0).names == dict(self=None, x=None)


def test_what_was_meant_by_little():
    assert closest('num', ['num_heads', 'depth']) == 'num_heads'
    assert closest('nu', ['num_heads', 'depth']) is None
    assert closest('num', ['num_heads', 'num_layers', 'numbering']) is None
    assert closest('_hidden', ['_hidden']) is None
    assert closest('Miou', ['mIoU', 'MIOU']) == 'mIoU'  # the first of equals
    assert closest('depht', ['depth'], cutoff=0.9) is None
    accepted = accepted_keys(Base)
    assert unknown_keys(dict(type='x', bas=1), accepted, ('type',)) == {'bas': "Did you mean 'base'?"}
    assert unknown_keys(dict(zz=1), accepted, ('type', '_x')) == {'zz': 'It takes base, type.'}
