"""The looks of options, by which a reader tells lines apart."""

from suite.report.model.labels import VARIANT, looks


def test_no_two_variants_look_alike():
    found = looks(VARIANT).values()
    lines = [(look.style.colour, look.style.dash) for look in found]
    for seen in ([look.label for look in found], [look.place for look in found], lines):
        assert len(set(seen)) == len(found)
    assert len({look.style.marker for look in found}) == len(found)
