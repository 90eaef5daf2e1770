import os
import signal
import time

from torch.utils.data import DataLoader

from mlore_mm.engine.loader_workers import start_worker


class Pids:
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return os.getpid()


def workers(start=None):
    loader = DataLoader(Pids(), batch_size=None, num_workers=1, worker_init_fn=lambda i: start_worker(start, i))
    return iter(loader)


def test_sigterm_from_outside_does_not_end_a_worker():
    batches = workers()
    pid = next(batches)
    if not (stranger := os.fork()):
        os.kill(pid, signal.SIGTERM)
        os._exit(0)
    os.waitpid(stranger, 0)
    time.sleep(0.2)
    assert list(batches) == [pid] * 3


def test_sigterm_from_the_parent_does():
    batches = workers()
    process = batches._workers[0]
    next(batches)
    process.terminate()
    process.join(10)
    assert process.exitcode == 0


def test_what_was_to_be_called_is_called(tmp_path):
    next(workers(lambda worker_id: (tmp_path / str(worker_id)).touch()))
    assert (tmp_path / '0').exists()
