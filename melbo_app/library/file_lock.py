"""Waiting for the lock of another process."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock

from melbo_app.engine.stopping import ASKED_EVERY, Stop, raise_if


def is_held(lock: FileLock) -> bool:
    """Whether another process or thread holds the lock."""
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        return True
    lock.release()
    return False


@contextmanager
def held(lock: FileLock, stop: Stop) -> Iterator[None]:
    """Wait for the lock, and hold it in the context. Raises Stopped."""
    while True:
        try:
            lock.acquire(timeout=ASKED_EVERY)
            break
        except TimeoutError:
            raise_if(stop)
    try:
        yield
    finally:
        lock.release()
