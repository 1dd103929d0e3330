from .pool import close_pool, fetch, fetchrow, get_pool
from .sync_pool import get_sync_pool, transaction

__all__ = ["close_pool", "fetch", "fetchrow", "get_pool", "get_sync_pool", "transaction"]
