from .local import LocalStorage
from .s3 import S3Storage
from .abstract import Storage

__all__ = ["LocalStorage", "S3Storage", "Storage"]
