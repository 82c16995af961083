"""Closed forms without torch: shapes, FLOPs, bytes, rooflines, matching of variants, and published numbers."""
