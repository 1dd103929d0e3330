"""Lab 08: a thread cures one of these two.

`Accounts` computes in two ways, and both stop the event loop alike. A password's hash is bcrypt's: C
code, which lets go of the GIL. Its strength is counted in pure Python, which keeps the GIL for good.
The class keeps its promises but for the third. Keep them, and the third, too.

What `Accounts` must do when you are done:

1. `register` stores a hash, once for each name. Of two calls at once for one name, one raises NameTakenError.
   What `strength` or `hashed` raises comes out as it is, and the name is free again. `verify` returns
   whether a password is the right one.
2. `verify` computes as often for a name that nobody has as for a wrong password. Who waits for the answer
   does not learn which names there are.
3. The event loop goes on: nothing is computed on its thread, `strength` not under its GIL, and nothing
   on its thread waits for a computation.
4. `workers` computations run at once: never more, and no fewer while calls wait.
5. Calls that wait are served in the order in which they came.
6. A call that is cancelled ends at once. If it waited, it is not computed. If it was being computed, that
   goes on, and keeps its place until it is over. No place is ever lost.
7. Threads and processes are started once, and not for each call. `close` lets the calls in progress
   finish, ends the workers, and returns after that. A later call raises RuntimeError.

Keep these names and signatures: `Accounts`, `NameTakenError`, `Passwords`, `WeakPasswordError`. The rest is yours
to change, but not what `Passwords` computes.

How it is judged: `loopclinic check 08`, or `loopclinic watch 08` for a verdict on every save. The check
hands over a `Passwords` of its own, which notes in which process and thread it computes, with 3 workers.
It can be pickled, as yours can. While the loop could be idle, an event may wait for it half as long as
in the file as shipped. In a storm, workers may be idle for 30 % of their time, and a call may be overtaken
by 6 that came later. A cancelled call has 0.5 s, and of 16 that waited 8 may be computed, since a pool may
have taken them out of its queue already. One after another, 12 calls may use 6 workers.
"""

import bcrypt

NOBODY = b"$2b$12$E9EN8h9Q0GULJvLkt6Bc/e5na7Iy4wjpmsfu3ZwrkHZPs.wJ1EfA."
"""A hash that no password has."""


class NameTakenError(ValueError):
    """Somebody else has this name."""


class WeakPasswordError(ValueError):
    """This password is guessed soon."""


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
