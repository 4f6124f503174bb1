"""What an edge host keeps on disk: one SQLite file, and keys in files of their own."""

from farsite_edge.store.database import Database
from farsite_edge.store.facts import Facts
from farsite_edge.store.lock import FolderLock
from farsite_edge.store.vault import Vault

__all__ = ["Database", "Facts", "FolderLock", "Vault"]
