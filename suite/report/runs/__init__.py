"""The runs themselves: what ran, what was drawn and disturbed, what the gate said, where the numbers come from."""
