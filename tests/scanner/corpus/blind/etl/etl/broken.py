# syntax-error: a merge that was never finished
import time


async def load(path):
<<<<<<< HEAD
    time.sleep(1)
=======
    time.sleep(2)
>>>>>>> feature
