"""Rules by which measurements become verdicts: tolerances, decisions, exact quantities, acceptances."""
