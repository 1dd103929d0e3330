"""Rights that reading another process takes on Linux: which one is missing, and how to get it."""

import os
from pathlib import Path

_TRACE = 19  # CAP_SYS_PTRACE, linux/capability.h
_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")


class AttachError(RuntimeError):
    """A process can't be read; the message says why, and what to do.

    `kind` is one of the words that `loopclinic attach --doctor` has a row for.
    """

    def __init__(self, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


def refused(pid: int) -> AttachError:
    """Return why the kernel does not let us read a process: ptrace(2)."""
    owner, mine = owner_of(pid), os.geteuid()
    scope, traces = ptrace_scope(), may_trace()
    if owner is not None and mine not in (owner, 0):
        return AttachError(
            "user",
            f"process {pid} belongs to {named(owner)}, and you are {named(mine)}: run loopclinic attach as "
            f"that user or as root (sudo -u '#{owner}' loopclinic attach {pid}).",
        )
    if scope == 1 and not traces:
        return AttachError(
            "ptrace-scope",
            f"kernel.yama.ptrace_scope is 1, so a process may be read by its parents alone: run loopclinic "
            f"attach {pid} with sudo, or once sudo sysctl kernel.yama.ptrace_scope=0.",
        )
    if scope == 2 and not traces:
        return AttachError(
            "ptrace-scope",
            f"kernel.yama.ptrace_scope is 2, so only root may read processes: sudo loopclinic attach {pid}.",
        )
    if scope == 3:
        return AttachError(
            "ptrace-scope",
            "kernel.yama.ptrace_scope is 3, so nobody may read another process until this machine starts "
            "without it: start the program with loopclinic run.",
        )
    if traces:
        return AttachError(
            "kernel",
            f"the kernel lets nobody here read process {pid}: it is outside of this container's rights, or a rule "
            "of SELinux or AppArmor forbids it. Attach from the host, as root.",
        )
    if in_container():
        return AttachError(
            "container",
            "this container may not read processes: start it with --cap-add SYS_PTRACE (Docker, Podman) or "
            "securityContext.capabilities.add: [SYS_PTRACE] (Kubernetes), or attach from the host.",
        )
    return AttachError(
        "protected",
        f"process {pid} is protected, as one that has changed its user or called "
        f"prctl(PR_SET_DUMPABLE, 0) is: sudo loopclinic attach {pid}.",
    )


def status(pid: int | str) -> dict[str, str]:
    """Return the kernel's fields of a process's status, proc(5); none if there is no such process."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return {name: value.strip() for name, _, value in (one.partition(":") for one in file)}
    except OSError:
        return {}


def owner_of(pid: int) -> int | None:
    """Return the user that a process runs as, None if it is gone or runs as several."""
    found = set(map(int, status(pid).get("Uid", "").split()))
    return found.pop() if len(found) == 1 else None


def named(user: int) -> str:
    """Return a user's name with the number, or the number alone."""
    try:
        import pwd  # not on Windows

        return f"user {pwd.getpwuid(user).pw_name} ({user})"
    except (ImportError, KeyError):
        return f"user {user}"


def ptrace_scope() -> int:
    """Return the kernel's kernel.yama.ptrace_scope, 0 where it has none: Documentation/.../Yama.rst."""
    try:
        return int(Path(_SCOPE).read_text("utf-8"))
    except (OSError, ValueError):
        return 0


def may_trace() -> bool:
    """Return whether this process has the capability CAP_SYS_PTRACE, as root has."""
    return bool(int(status("self").get("CapEff", "0"), 16) >> _TRACE & 1)


def in_container() -> bool:
    """Return whether this process seems to run in a container."""
    if any(Path(one).exists() for one in _CONTAINER_FILES):
        return True
    try:
        text = Path("/proc/1/environ").read_bytes() if os.geteuid() == 0 else b""
    except OSError:
        text = b""
    return b"container=" in text or "KUBERNETES_SERVICE_HOST" in os.environ
