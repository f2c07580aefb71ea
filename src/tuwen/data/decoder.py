"""Decode uploaded files in a child process, which can be killed at any time.

A picture of 34 bytes may claim 49 million pixels, and no thread can be stopped while a C library fills them. The child
has a limit of memory, knows nothing of the shop, and ends with its parent: its input is then at its end. Messages are
a length, JSON, a length and the bytes of a file; nothing is pickled.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import select
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from typing import IO, Any

from tuwen.deadline import Deadline, current
from tuwen.errors import DataError, MissingExtra

MEMORY_BYTES = 2_000_000_000  # of address space; a picture of 50 million pixels takes 400 MB
LENGTH = struct.Struct("<I")


class Decoder:
    """A child process that decodes files. It starts on first use, and again after a kill.

    Args:
        memory_bytes: what the child may use; a file that takes more is refused.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self._owner = os.getpid()
        self._lock = threading.Lock()

    def normalise(self, door: str, data: bytes, limits: Mapping[str, Any]) -> bytes:
        """What ``door`` makes of ``data``, see :class:`tuwen.data.kinds.Medium`.

        Raises:
            DataError: the file cannot be used.
            Interrupted: the deadline of this context passed; the child was killed.
        """
        deadline = current()
        pixels = None if deadline is None else deadline.pixels
        answer, normalised = self._ask({"door": door, "limits": dict(limits), "pixels": pixels}, data)
        if deadline is not None and deadline.pixels is not None:
            deadline.pixels = max(0, deadline.pixels - answer["pixels"])
        if "error" in answer:
            raise _error(answer)
        return normalised

    def weigh(self, pictures: Sequence[bytes]) -> None:
        """Look at the headers of all pictures of a request, before the first of them is decoded.

        Raises:
            DataError: they are more pixels together than the deadline allows.
            Interrupted: the deadline of this context passed; the child was killed.
        """
        deadline = current()
        if deadline is None or deadline.pixels is None:
            return
        total = 0
        for picture in pictures:
            answer, _ = self._ask({"size": True}, picture)
            total += answer["pixels"]
            if total > deadline.pixels:
                raise too_many_pixels(f"{total:,} or more", f"at most {deadline.pixels:,}")

    def start(self) -> None:
        """Start the child early, so that the first request does not wait."""
        with self._lock:
            self._running()

    @contextmanager
    def active(self) -> Iterator[None]:
        """Use the child to decode files in this context, and in threads that run in a copy of it."""
        token = _ACTIVE.set(self)
        try:
            yield
        finally:
            _ACTIVE.reset(token)

    def kill(self) -> None:
        """Kill the child. A thread that waits for it gets an error."""
        child = self._child
        if child is not None and self._owner == os.getpid():
            child.kill()

    def close(self) -> None:
        """End the child and let its pipes go."""
        self.kill()
        with self._lock:
            if self._owner == os.getpid():
                self._ended()

    @property
    def pid(self) -> int | None:
        """Return the process id of the running child."""
        return None if self._child is None or self._child.poll() is not None else self._child.pid

    def _running(self) -> subprocess.Popen[bytes]:
        if self._owner != os.getpid():  # after a fork the child belongs to the other process
            self._child, self._owner = None, os.getpid()
        if self._child is not None and self._child.poll() is not None:
            self._ended()
        if self._child is None:
            command = [sys.executable, "-P", "-m", "tuwen.data.decoder", str(self._memory_bytes)]
            self._child = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
            )
        return self._child

    def _ended(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.communicate()  # closes its pipes and takes its exit status

    def _ask(self, message: Mapping[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        deadline = current()
        with self._lock:
            if deadline is None:
                return self._exchange(self._running(), message, data, None)
            deadline.check()  # the lock may have taken all of the time
            child = self._running()
            with deadline.ending(child.kill):
                return self._exchange(child, message, data, deadline)

    def _exchange(
        self, child: subprocess.Popen[bytes], message: Mapping[str, Any], data: bytes, deadline: Deadline | None
    ) -> tuple[dict[str, Any], bytes]:
        try:
            assert child.stdin is not None and child.stdout is not None
            write(child.stdin, message, data)
            if deadline is not None and not _readable(child.stdout, deadline.left):
                deadline.stop()
            return read(child.stdout)
        except (EOFError, OSError):
            child.kill()
            self._ended()
            if deadline is not None:
                deadline.check()
            raise DataError("the file cannot be decoded", todo="send it in another format, or smaller") from None


_ACTIVE: ContextVar[Decoder | None] = ContextVar("tuwen decoder", default=None)
_SHARED: dict[int, Decoder] = {}  # by memory: one for all that this process serves


def shared_decoder(memory_bytes: int = MEMORY_BYTES) -> Decoder:
    """Return the decoder of this process. It ends with the process."""
    if memory_bytes not in _SHARED:
        _SHARED[memory_bytes] = Decoder(memory_bytes)
    return _SHARED[memory_bytes]


def kill_decoders() -> None:
    """Kill the children of this process before it ends."""
    for decoder in _SHARED.values():
        decoder.kill()


@atexit.register
def _close_decoders() -> None:
    for decoder in _SHARED.values():
        decoder.close()


def normalise(door: str, data: bytes, limits: Mapping[str, Any]) -> bytes:
    """Decode with the decoder of this context, or in this process without one."""
    decoder = _ACTIVE.get()
    return decode(door, data, limits) if decoder is None else decoder.normalise(door, data, limits)


def weigh(pictures: Sequence[bytes]) -> None:
    """Check the pixels of pictures, see :meth:`Decoder.weigh`. Without a decoder in this context there is no limit."""
    decoder = _ACTIVE.get()
    if decoder is not None:
        decoder.weigh(pictures)


def decode(door: str, data: bytes, limits: Mapping[str, Any]) -> bytes:
    """Call ``door``, which is ``module:function``."""
    module, _, name = door.partition(":")
    normalised: bytes = getattr(import_module(module), name)(data, **limits)
    return normalised


def write(stream: IO[bytes], message: Mapping[str, Any], data: bytes) -> None:
    """Send one message."""
    text = json.dumps(message).encode()
    stream.write(LENGTH.pack(len(text)) + text + LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def read(stream: IO[bytes]) -> tuple[dict[str, Any], bytes]:
    """Receive one message.

    Raises:
        EOFError: the other side is gone.
    """
    text, data = (_exactly(stream, LENGTH.unpack(_exactly(stream, LENGTH.size))[0]) for _ in range(2))
    message: dict[str, Any] = json.loads(text)
    return message, data


def _exactly(stream: IO[bytes], length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _readable(stream: IO[bytes], seconds: float) -> bool:
    poll = select.poll()  # select() knows no file above 1,024
    poll.register(stream, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _error(answer: Mapping[str, Any]) -> DataError | MissingExtra:
    fields = dict(answer["fields"])
    if answer["error"] == "MissingExtra":
        return MissingExtra(answer["extra"], fields["what"].partition(" needs the extra ")[0])
    return DataError(**fields)


# --- The child --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Answer messages from standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which lets work under way end
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _limit_memory(int(sys.argv[1]))
    requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not stand among the answers

    def receive() -> None:
        while True:
            try:
                requests.put(read(source))
            except (EOFError, OSError, ValueError):
                os._exit(0)  # the parent is gone, and a picture that is half decoded is nobody's

    threading.Thread(target=receive, daemon=True).start()
    while True:
        write(sink, *_answer(*requests.get()))


def _answer(message: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    pixels = 0
    try:
        if "size" in message:
            return {"pixels": _pixels(data)}, b""
        if message["pixels"] is not None and message["door"].startswith("tuwen.data.media:"):
            pixels = _claimed(data, message["limits"], message["pixels"])
        return {"pixels": pixels}, decode(message["door"], data, message["limits"])
    except MissingExtra as error:
        return {"pixels": 0, "error": "MissingExtra", "extra": error.extra, "fields": error.fields()}, b""
    except DataError as error:
        return {"pixels": pixels, "error": "DataError", "fields": error.fields()}, b""
    except MemoryError:
        return {"pixels": pixels, "error": "DataError", "fields": {"what": "the file takes too much memory"}}, b""


def _claimed(data: bytes, limits: Mapping[str, Any], pixels_left: int) -> int:
    """Return the pixels that the header of a picture claims.

    Raises:
        DataError: more than are left, or not a picture.
    """
    from tuwen.data.media import size_of

    if len(data) > limits["max_bytes"]:
        return 0  # the door refuses it without a look
    width, height = size_of(data)
    if width * height > pixels_left:
        raise too_many_pixels(f"{width} × {height}", f"at most {pixels_left:,} more")
    return width * height


def _pixels(data: bytes) -> int:
    """Return the pixels that the header claims. 0 for a file that is no picture."""
    from tuwen.data.media import size_of

    try:
        width, height = size_of(data)
    except DataError:
        return 0
    return width * height


def too_many_pixels(seen: str, allowed: str) -> DataError:
    """Return the error for pictures that are too large together."""
    todo = "send fewer pictures in one request, or smaller ones"
    return DataError("too many pixels in one request", seen=seen, allowed=allowed, todo=todo)


def _limit_memory(memory_bytes: int) -> None:
    try:
        import resource
    except ModuleNotFoundError:  # not a Unix
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or memory_bytes < hard:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, hard))


if __name__ == "__main__":
    main()
