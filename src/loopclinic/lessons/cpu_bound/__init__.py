"""Lesson 08: computation on the event loop, what a thread cures of it, and what only a process does.

Limit: 1,166 lines, because its check finds where each password is computed, in which process, thread and
interpreter, from notes that those leave in a file, and stops where calls hang or each starts a process;
its notebook measures the GIL's share though other programs run, a storm of logins on six rungs, and who else
waits for a thread.
"""

from loopclinic.lessons.catalogue import Lesson, graded, words

LESSON = Lesson(
    number="08",
    stem="cpu_bound",
    title="A thread cures one of these two",
    summary="bcrypt and pure Python on the event loop: who has the GIL, and where each can go.",
    minutes=30,
    conflicts=words(
        "cpu-bound blocking-sync-primitive order-broken unbounded-gather sequential-awaits "
        "dropped-task swallowed-cancellation"
    ),
    requires=("00",),
    public=("Accounts", "NameTakenError", "Passwords", "WeakPasswordError"),
    hints=graded("""
        Two computations: ask of each whether it lets go of the GIL. Then ask who counts how many run at once,
        in which order the others wait, and what has to be over before `close` returns.

        Make one pool of `workers` processes in `__init__`: it is limit, queue and order at once. Send both
        computations of a registration in one call. Take the name before the first await, and give it back
        when that fails.

        `ProcessPoolExecutor(workers, mp_context=get_context('spawn'))`; a function at the top level that
        calls `passwords.strength` and returns `passwords.hashed`; `await
        asyncio.get_running_loop().run_in_executor(pool, function, passwords, password)`; in `close`, `await
        asyncio.to_thread(pool.shutdown)`.
    """),
    deadline=20.0,
)
