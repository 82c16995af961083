"""The answer of the gate in every form: sentences, terminal, GitHub, JUnit, and the folder of a judgement."""
