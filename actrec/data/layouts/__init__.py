"""Data-set layouts, one file each; they read names and lists, never a video."""

from __future__ import annotations

from actrec.data.layouts import folder, hmdb51, ucf101
from actrec.data.layouts.base import Layout

LAYOUTS: dict[str, Layout] = {
    "folder": folder.read,
    "ucf101": ucf101.read,
    "hmdb51": hmdb51.read,
}
# Their lists are the data set's own, the same for everybody. A folder's lists are somebody's.
OFFICIAL = frozenset({"ucf101", "hmdb51"})
