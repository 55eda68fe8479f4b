"""What is still running after everything was closed."""

import asyncio
import threading

__all__ = ["Leaks"]


class Leaks:
    """The tasks and threads that were not there when this was made."""

    def __init__(self) -> None:
        self._tasks = asyncio.all_tasks()
        self._threads = set(threading.enumerate())

    def found(self) -> list[str]:
        """Return a description of each that runs; not of whoever asks."""
        me = asyncio.current_task()
        tasks = [task for task in asyncio.all_tasks() - self._tasks if task is not me]
        threads = set(threading.enumerate()) - self._threads
        return [f"task {task.get_name()} of {task.get_coro()!r}" for task in tasks] + [
            f"thread {thread.name}"
            for thread in threads
            # Threads of the loop's own executor stay with the loop.
            if not thread.name.startswith("asyncio_")
        ]
