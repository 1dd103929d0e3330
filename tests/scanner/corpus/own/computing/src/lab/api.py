from .engine import *
from .engine import Mailer as Post, hashed as hash_password

__all__ = ["Post", "address", "digest", "hash_password", "thumbnail"]
