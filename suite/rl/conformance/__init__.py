"""Conformance: exact expectations of estimators, losses and divergences on problems that can be enumerated."""
