import pytest
from torch.utils.data import DataLoader, Dataset

from mlore_mm.apis.training.config import user_errors


class Broken(Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise ValueError('data/mine/masks/a.png is empty.\nWrite it again.')


@pytest.mark.parametrize('workers', [0, 1])
def test_a_mistake_is_said_in_its_own_words(capfd, monkeypatch, workers):
    monkeypatch.delenv('MLORE_MM_TRACEBACK', raising=False)
    with pytest.raises(SystemExit) as end, user_errors():
        list(DataLoader(Broken(), num_workers=workers))
    assert end.value.code == 1
    error = capfd.readouterr().err
    assert 'error: data/mine/masks/a.png is empty.\nWrite it again.\n(MLORE_MM_TRACEBACK=1 shows' in error
    assert 'Traceback (most' not in error


def test_the_traceback_is_kept_on_request(monkeypatch):
    monkeypatch.setenv('MLORE_MM_TRACEBACK', '1')
    with pytest.raises(ValueError, match='worker process 0'), user_errors():
        list(DataLoader(Broken(), num_workers=1))
