from feedlib._client import AsyncFeed, Feed

__all__ = ["AsyncFeed", "Feed"]
