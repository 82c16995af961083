"""Stored records judged against others: exact quantities, times, and runs that are paired by their seed."""
