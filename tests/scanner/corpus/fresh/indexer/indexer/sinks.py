import time
from functools import wraps

import boto3
import redis

table = boto3.resource("dynamodb").Table("documents")
cache = redis.Redis.from_url("redis://localhost/0")


def retrying(times=3, pause=0.5):
    def decorate(function):
        @wraps(function)
        def wrapper(*args, **kwargs):
            for attempt in range(times):
                try:
                    return function(*args, **kwargs)
                except OSError:
                    if attempt == times - 1:
                        raise
                    time.sleep(pause * 2**attempt)

        return wrapper

    return decorate


@retrying()
def normalize(document):
    return {key.lower(): value for key, value in document.items()}


class DocumentSink:
    def seen(self, key: str) -> bool:
        return not cache.set(f"seen:{key}", 1, nx=True, ex=3600)

    def save(self, document: dict) -> None:
        table.put_item(Item=document)
