"""Tasks for policies, each with an exact scorer and the corpus of a base model that has not learnt it."""
