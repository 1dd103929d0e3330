"""Rights that reading another process takes on Linux: which one is missing, and how to get it."""

import os
from pathlib import Path

_TRACE = 19  # CAP_SYS_PTRACE, linux/capability.h
_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
_CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")


def refused(pid: int) -> tuple[str, str]:
    """Return in a word and in a sentence why the kernel does not let us read a process: ptrace(2)."""
    owner, mine = owner_of(pid), os.geteuid()
    if owner is not None and mine not in (owner, 0):
        return (
            "user",
            (
                f"process {pid} belongs to {named(owner)}, and you are {named(mine)}: run loopclinic attach as "
                f"that user or as root (sudo -u '#{owner}' loopclinic attach {pid})."
            ),
        )
    scope = ptrace_scope()
    if not may_trace() and scope:
        if scope == 1:
            return (
                "ptrace-scope",
                (
                    f"kernel.yama.ptrace_scope is 1, so a process may be read by its parents alone: run loopclinic "
                    f"attach {pid} with sudo, or once sudo sysctl kernel.yama.ptrace_scope=0."
                ),
            )
        if scope == 2:
            return (
                "ptrace-scope",
                f"kernel.yama.ptrace_scope is 2, so only root may read processes: sudo loopclinic attach {pid}.",
            )
    if scope == 3:
        return (
            "ptrace-scope",
            (
                "kernel.yama.ptrace_scope is 3, so nobody may read another process until this machine starts "
                "without it: start the program with loopclinic run."
            ),
        )
    if in_container() and not may_trace():
        return (
            "container",
            (
                "this container may not read processes: start it with --cap-add SYS_PTRACE (Docker, Podman) or "
                "securityContext.capabilities.add: [SYS_PTRACE] (Kubernetes), or attach from the host."
            ),
        )
    if not may_trace():
        return (
            "protected",
            (
                f"process {pid} is protected, as one that has changed its user or called "
                f"prctl(PR_SET_DUMPABLE, 0) is: sudo loopclinic attach {pid}."
            ),
        )
    return (
        "kernel",
        (
            f"the kernel lets nobody here read process {pid}: it is outside of this container's rights, or a rule "
            "of SELinux or AppArmor forbids it. Attach from the host, as root."
        ),
    )


def owner_of(pid: int) -> int | None:
    """Return the user that a process runs as, None if it is gone or runs as several."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
            if line.startswith("Uid:"):
                found = {int(one) for one in line.split()[1:]}
                return found.pop() if len(found) == 1 else None
    except OSError:
        pass
    return None


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
    try:
        for line in Path("/proc/self/status").read_text("utf-8").splitlines():
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _TRACE & 1)
    except OSError:
        pass
    return False


def in_container() -> bool:
    """Return whether this process seems to run in a container."""
    if any(Path(one).exists() for one in _CONTAINER_FILES):
        return True
    try:
        text = Path("/proc/1/environ").read_bytes() if os.geteuid() == 0 else b""
    except OSError:
        text = b""
    return b"container=" in text or "KUBERNETES_SERVICE_HOST" in os.environ
