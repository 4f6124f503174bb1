"""Apps for devices (ACAP packages): the operator's folder of them, and what each says of itself."""

from farsite_edge.apps.folder import AppFolder, PackageFile
from farsite_edge.apps.package import BadPackage, read_package

__all__ = ["AppFolder", "BadPackage", "PackageFile", "read_package"]
