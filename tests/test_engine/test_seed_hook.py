from types import SimpleNamespace

import torch

from mlore_mm.engine import SeedHook


def runner(seed=None, iteration=0, **sampler):
    loader = SimpleNamespace(sampler=SimpleNamespace(**sampler))
    return SimpleNamespace(seed=seed, iter=iteration, train_dataloader=loader)


def numbers(hook, iteration):
    hook.before_train_iter(runner(iteration=iteration), 0)
    return torch.rand(3).tolist()


def test_an_iteration_has_its_numbers_whatever_came_before():
    hook = SeedHook()
    hook.before_train(runner(seed=1, seed_of=None))
    first = [numbers(hook, i) for i in range(3)]
    assert [numbers(hook, i) for i in (2, 0, 1)] == [first[2], first[0], first[1]]
    assert len({str(x) for x in first}) == 3


def test_the_seed_travels_in_the_checkpoint():
    first, checkpoint = SeedHook(), {}
    first.before_train(SimpleNamespace(seed=5, iter=0, train_dataloader=SimpleNamespace(sampler=Sampler(8))))
    first.before_save_checkpoint(None, checkpoint)
    assert checkpoint == dict(meta=dict(data_seed=8))

    second, sampler = SeedHook(), Sampler(9)
    second.after_load_checkpoint(None, checkpoint)
    second.before_train(SimpleNamespace(seed=6, iter=4, train_dataloader=SimpleNamespace(sampler=sampler)))
    assert (second.seed, sampler.seed) == (8, 8)
    assert numbers(second, 4) == numbers(first, 4)


def test_weights_alone_do_not_bring_their_seed():
    hook, sampler = SeedHook(), Sampler(9)
    hook.after_load_checkpoint(None, dict(meta=dict(data_seed=8)))
    hook.before_train(SimpleNamespace(seed=6, iter=0, train_dataloader=SimpleNamespace(sampler=sampler)))
    assert hook.seed == 9


class Sampler:
    def __init__(self, seed):
        self.seed = seed


def test_every_process_draws_its_own(monkeypatch):
    hook, drawn = SeedHook(), []
    hook.before_train(runner(seed=1))
    for rank in range(3):
        monkeypatch.setattr('mlore_mm.engine.hooks.seed_hook.get_rank', lambda rank=rank: rank)
        drawn.append(numbers(hook, 0))
    assert len({str(x) for x in drawn}) == 3


def test_a_sampler_without_a_seed_leaves_it_to_the_training():
    hook, checkpoint = SeedHook(), {}
    hook.before_save_checkpoint(None, checkpoint)
    assert checkpoint == {}
    hook.after_load_checkpoint(None, dict(meta=dict(data_seed=8)))
    sampler = SimpleNamespace()
    hook.before_train(SimpleNamespace(seed=6, iter=4, train_dataloader=SimpleNamespace(sampler=sampler)))
    assert (hook.seed, vars(sampler)) == (6, {})
