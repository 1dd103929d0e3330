from storagekit.backends import LocalStorage, S3Storage, Storage
from storagekit.factory import storage_for

__all__ = ["LocalStorage", "S3Storage", "Storage", "storage_for"]
