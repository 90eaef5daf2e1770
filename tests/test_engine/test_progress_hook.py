from mlore_mm.registry import RUNNERS
from tests.test_engine.test_runner import load

HOOK = [dict(type='ProgressHook', title='Toy')]


def test_training_and_testing_are_counted_to_their_end(tmp_path, capfd):
    runner = RUNNERS.build(load(tmp_path, custom_hooks=HOOK))
    runner.train()
    trained = capfd.readouterr()
    assert 'Toy' in trained.out + trained.err
    assert '4/4 iterations' in trained.out + trained.err
    runner.test()
    tested = capfd.readouterr()
    assert '3/3 batches' in tested.out + tested.err
