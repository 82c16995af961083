"""The looks of options, by which a reader tells lines apart."""

from suite.report.model.labels import VARIANT, looks, option_style, variant_style


def test_no_two_variants_look_alike():
    found = looks(VARIANT).values()
    lines = [(look.style.colour, look.style.dash) for look in found]
    for seen in ([look.label for look in found], [look.place for look in found], lines):
        assert len(set(seen)) == len(found)
    assert len({look.style.marker for look in found}) == len(found)


def test_variants_of_other_packages_look_unlike_each_other():
    names = ("normed", "tied", "mine", "sparse_topk", "\udcff")
    styles = [variant_style(name) for name in names]
    assert len(set(styles)) == len(names)
    assert not {style.marker for style in styles} & {look.style.marker for look in looks(VARIANT).values()}
    assert styles == [option_style("algorithm", name) for name in names]
