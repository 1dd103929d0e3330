from .minio_store import MinioStore as ObjectStore

__all__ = ["ObjectStore"]
