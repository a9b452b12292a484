"""Reads each file in a process of its own, which may use little memory and time, and neither disk nor network.

Documents come from anywhere, and parsers are large: a file that makes one run for ever, fill the memory or crash must
cost that file and nothing else. One helper process loads the readers; for each file it makes a copy of itself (a fork,
a few milliseconds), takes everything from the copy that reading does not need, and passes on what it says.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, NoReturn

from pydantic import TypeAdapter, ValidationError

from bot.documents.content import Content
from bot.errors import DocumentError

#: What reading one file may take: seconds, bytes of memory beyond what the readers themselves need, bytes of result.
SECONDS, MEMORY, RESULT = 30, 512 * 1024 * 1024, 256 * 1024 * 1024

_CONTENT = TypeAdapter(Content)
_NO_READER = b"none"


class Sandbox:
    """The helper process, started when it is first needed, or before. Not for several threads at once."""

    def __init__(self) -> None:
        self._helper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the helper, and do not wait until it has loaded what it needs."""
        self._helper = self._helper or self._start()

    def read(self, name: str, data: bytes) -> Content | None:
        """Read a file; ``None`` if there is no reader for it.

        :raises DocumentError: if it cannot be read within the limits, or at all.
        """
        self.start()
        helper = self._helper
        assert helper is not None and helper.stdin is not None and helper.stdout is not None
        try:
            _send(helper.stdin, name.encode())
            _send(helper.stdin, data)
            verdict, said = _receive(helper.stdout), _receive(helper.stdout)
        except (OSError, EOFError) as error:
            self.close()
            raise DocumentError("cannot be read: its reader ended without a word") from error
        if verdict == b"fault":
            raise DocumentError(said.decode("utf-8", "replace")[:500])
        if verdict == _NO_READER:
            return None
        try:
            content = _CONTENT.validate_json(said)
        except ValidationError as error:
            raise DocumentError("cannot be read: its reader does not make sense") from error
        ends = [0]
        for block in content.blocks:
            ends += (block.start, block.end)
        if sorted(ends) != ends or ends[-1] > len(content.text):
            raise DocumentError("cannot be read: its reader lost count")
        return content

    def _start(self) -> subprocess.Popen[bytes]:
        # On its own Python would look for modules in the working folder first, which may hold anybody's files.
        code = f"import sys; sys.path[:] = {sys.path!r}; from bot.documents.sandbox import main; main()"
        command = [sys.executable, "-P", "-c", code]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """Let the helper go."""
        helper, self._helper = self._helper, None
        if helper is None:
            return
        helper.kill()
        for pipe in (helper.stdin, helper.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        helper.wait()


@contextlib.contextmanager
def sandbox() -> Iterator[Sandbox]:
    """Provide a sandbox, and end it."""
    made = Sandbox()
    try:
        yield made
    finally:
        made.close()


def _send(pipe: IO[bytes], data: bytes) -> None:
    pipe.write(len(data).to_bytes(8))
    pipe.write(data)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    size = int.from_bytes(_exactly(pipe, 8))
    if size > RESULT:
        raise EOFError
    return _exactly(pipe, size)


def _exactly(pipe: IO[bytes], size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise EOFError
    return data


# --- in the helper ----------------------------------------------------------------------------------------------------

#: unshare(2): namespaces of users and of networks; prctl(2): no new privileges, and to end with one's parent.
_NEW_USER, _NEW_NET, _NO_NEW_PRIVILEGES, _END_WITH_PARENT = 0x10000000, 0x40000000, 38, 1

#: landlock(7): its system calls; what may be asked of files, by the version from which on the kernel knows of it; to
#: read a file and to list a folder; and that a rule is about all that is beneath a folder.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_OF_FILES = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_READ, _BENEATH = 1 << 2 | 1 << 3, 1

#: What libraries open when they first need it: encodings and modules of their own, and fonts.
_OF_LIBRARIES = (sys.prefix, sys.base_prefix, "/usr/lib", "/usr/share", "/lib")


def main() -> None:
    """Read what is asked for on standard input until it ends."""
    from bot.documents.formats import read  # loaded once, for all copies

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the process does that started it
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if libc.unshare(_NEW_NET) != 0:  # where the system lets us, there is no network at all
        libc.unshare(_NEW_USER | _NEW_NET)
    asked, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    while True:
        try:
            name, data = _receive_any(asked).decode(), _receive_any(asked)
        except EOFError:
            return
        receiving, sending = os.pipe()
        copy = os.fork()
        if copy == 0:
            libc.prctl(_END_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
            os.setpgid(0, 0)
            os.close(receiving)
            _read_confined(read, name, data, sending)
        os.close(sending)
        said, status = _heard(receiving, copy)
        verdict, _, rest = said.partition(b"\n")
        if status != 0:
            verdict, rest = b"fault", _why(status).encode()
        _send(answers, verdict)
        _send(answers, rest)


def _heard(receiving: int, copy: int) -> tuple[bytes, int]:
    """What a copy says until it ends or its time is over, and its exit status; nothing that it began outlives it."""
    said = bytearray()
    end = time.monotonic() + SECONDS + 1
    while select.select([receiving], [], [], max(0.0, end - time.monotonic()))[0]:
        some = os.read(receiving, 1 << 20)
        said += some
        if not some or len(said) > RESULT:
            break
    else:
        os.kill(copy, signal.SIGKILL)
    os.close(receiving)
    _, status = os.waitpid(copy, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(copy, signal.SIGKILL)
    return bytes(said), status


def _receive_any(pipe: IO[bytes]) -> bytes:
    return _exactly(pipe, int.from_bytes(_exactly(pipe, 8)))


def _why(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if -code in (signal.SIGALRM, signal.SIGXCPU, signal.SIGKILL):
        return f"takes more than {SECONDS} seconds to read"
    if -code in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL):
        return "makes its reader crash"
    return f"takes more than {MEMORY // 1024 // 1024} MiB of memory to read"


def _read_confined(read: object, name: str, data: bytes, sending: int) -> NoReturn:
    """Give up what reading does not need, read, answer, end."""
    code = 1
    try:
        _confine(sending)
        verdict, said = _reading(read, name, data)
        with os.fdopen(sending, "wb") as pipe:
            pipe.write(verdict + b"\n")
            pipe.write(said)
        code = 0
    finally:  # also when the memory is not enough to say so
        os._exit(code)


def _confine(sending: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):  # a library may print, also where the log is a file; what is asked comes by the first
        os.dup2(nowhere, standard)
    os.closerange(3, sending)  # the pipe for the answers to others among them
    os.closerange(sending + 1, 256)
    with open("/proc/self/statm", "rb") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    for limit, most in (
        (resource.RLIMIT_AS, used + MEMORY),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(limit, (most, most))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    sys.addaudithook(_refuse)
    _open_no_more()


def _open_no_more() -> None:
    """Open no file any more, nor change any, but read what libraries need; where the kernel has no Landlock, go on."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    version = syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    handled = struct.pack("=Q", sum(rights for since, rights in _OF_FILES.items() if since <= version))
    ruleset = syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0) if version >= 1 else -1
    if ruleset < 0:
        return
    for folder in _OF_LIBRARIES:
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_PATH)
            syscall(_ADD_RULE, ruleset, _BENEATH, struct.pack("=Qi", _READ, descriptor), 0)
            os.close(descriptor)
    syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _refuse(event: str, args: tuple[object, ...]) -> None:
    """Where the system leaves us a network, Python's is not to be used; nor are other programs."""
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "pty.")):
        raise PermissionError(f"{event} while reading a document")


def _reading(read: object, name: str, data: bytes) -> tuple[bytes, bytes]:
    assert callable(read)
    try:
        content = read(name, data)
        return (_NO_READER, b"") if content is None else (b"content", _CONTENT.dump_json(content, warnings="error"))
    except DocumentError as error:
        return b"fault", str(error).encode("utf-8", "replace")
    except MemoryError:
        return b"fault", f"takes more than {MEMORY // 1024 // 1024} MiB of memory to read".encode()
    except RecursionError:
        return b"fault", b"is nested too deeply"
    except Exception as error:  # a parser's own fault must not cost the other files
        return b"fault", f"makes its reader fail ({type(error).__name__})".encode()
