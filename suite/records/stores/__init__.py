"""Runs where they are kept: in folders, in packs of a folder's runs, and in object stores such as `s3://bucket/folder`.

An object store is read through a mirror on this machine, and written into by several machines at once. A record is
immutable once its record.json lies there, so a mirror is never wrong, only behind. Whoever reads brings what is new and
reads it as any folder, with the same checks. Whoever writes puts a run's files first and its record.json last, by a
request that only the first can win: the same commit point as on a disk.
"""
