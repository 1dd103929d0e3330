"""Lab 08: a thread cures one of these two.

`Accounts` computes in two ways, and each of them stops the event loop. A password's hash is bcrypt's: C
code, which releases the GIL. Its strength is counted in pure Python, which needs the GIL all the time.
The class keeps all of its promises but the third. Keep that one, too.

What `Accounts` must do when you are done:

1. `register` stores a hash, once for each name. Of two calls at once for one name, one raises NameTakenError.
   What `strength` or `hashed` raises reaches the caller as it is, and the name is free again. `verify`
   returns whether the password is right.
2. `verify` makes as many computations for an unknown name as for a wrong password: the time that it takes
   must not give away which names there are.
3. The event loop keeps running: nothing is computed on its thread, `strength` not under its GIL, and
   nothing on its thread waits for a computation.
4. `workers` computations run at once: never more, and never fewer while calls wait.
5. Calls that wait are served in the order in which they came.
6. A cancelled call ends at once. If it was waiting, nothing is computed for it. A computation that is under
   way goes on, and keeps its place until it is done. No place is ever lost, and no name: the one that it was
   to register is free.
7. Threads and processes are started once, not for each call. `close` lets the calls in progress finish,
   ends the workers, and only then returns. A later call raises RuntimeError.

Keep these names and signatures: `Accounts`, `NameTakenError`, `Passwords`, `WeakPasswordError`. The rest is
yours to change, but not what `Passwords` computes.

How it is judged: `loopclinic check 08`, or `loopclinic watch 08` for a verdict on every save. The check
passes in a `Passwords` of its own, which notes the process and thread of each computation, and 3 workers.
It can be pickled, as yours can. While the loop has nothing else to do, an event may wait for it half as long
as in the file as shipped. In a storm, workers may be idle for 30 % of their time, and a call may be overtaken
by 6 that came later. A cancelled call has 0.5 s to end. Of 16 that were waiting, 8 may still be computed, as a
pool may have taken them from its queue already. 12 calls, one after another, may use 6 workers in all.
"""

import bcrypt

NOBODY = b"$2b$12$E9EN8h9Q0GULJvLkt6Bc/e5na7Iy4wjpmsfu3ZwrkHZPs.wJ1EfA."
"""A hash that no password has."""


class NameTakenError(ValueError):
    """Somebody else has this name."""


class WeakPasswordError(ValueError):
    """This password is too easy to guess."""


class Passwords:
    """What is computed. An instance can be sent to another process."""

    def hashed(self, password: str) -> bytes:
        """Return the hash of a password, at most 72 bytes long: a fifth of a second, without the GIL."""
        return bcrypt.hashpw(password.encode(), bcrypt.gensalt())

    def matches(self, password: str, hashed: bytes) -> bool:
        """Return whether the hash is that of this password: as long, and without the GIL."""
        return bcrypt.checkpw(password.encode(), hashed)

    def strength(self, password: str) -> int:
        """Return how many pieces of a password occur once in it: pure Python, which keeps the GIL."""
        once = 0
        for start in range(len(password)):
            for end in range(start + 1, len(password) + 1):
                once += password.count(password[start:end]) == 1
        if once < 50:
            raise WeakPasswordError("Choose a longer password.")
        return once


class Accounts:
    """Names and the hashes of their passwords."""

    def __init__(self, passwords: Passwords, *, workers: int = 2) -> None:
        del workers  # one at a time is never too many
        self._passwords = passwords
        self._hashes: dict[str, bytes] = {}
        self._closed = False

    async def register(self, name: str, password: str) -> None:
        """Store the hash of a new name's password."""
        self._look()
        if name in self._hashes:
            raise NameTakenError(name)
        self._passwords.strength(password)
        self._hashes[name] = self._passwords.hashed(password)

    async def verify(self, name: str, password: str) -> bool:
        """Return whether it is this name's password."""
        self._look()
        return self._passwords.matches(password, self._hashes.get(name, NOBODY))

    async def close(self) -> None:
        """Let the calls in progress finish, and end the workers."""
        self._closed = True

    def _look(self) -> None:
        if self._closed:
            raise RuntimeError("These accounts are closed.")
