from functools import lru_cache

from .backends import LocalStorage, S3Storage


@lru_cache
def archive() -> S3Storage:
    return S3Storage("archive")


def storage_for(root: str) -> LocalStorage:
    return LocalStorage(root)
