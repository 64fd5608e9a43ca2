"""Object stores behind one small protocol: a local directory, and S3 with its look-alikes."""

from logferry.stores.base import AlreadyExists, Changed, NotFound, ObjectInfo, Store
from logferry.stores.opening import open_store

__all__ = ["AlreadyExists", "Changed", "NotFound", "ObjectInfo", "Store", "open_store"]
