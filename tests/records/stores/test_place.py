"""A store's URL, the folder that mirrors it, and which of both is shown."""

from pathlib import Path

import pytest

from suite.records.stores.mirror import is_store, mirror_folder, mirrored_url, own_folder, shown, url_in
from tests.records.stores.places import machine


@pytest.mark.parametrize("url", ["s3://bucket/sweeps/demo", "gs://a.b-c", "s3a://bucket/v=1.0", "memory://x/y"])
def test_a_url_is_known_after_it_became_a_path(url):
    assert is_store(url)
    assert is_store(Path(url))
    assert url_in(Path(url)) == url_in(f"{url}/") == url
    assert shown(Path(url)) == url


@pytest.mark.parametrize("place", ["results/runs", "/tmp/a", "C:/a", "s3:", "s3:bucket", ".", ""])
def test_other_names_are_folders_of_this_machine(place):
    assert not is_store(place)
    assert not is_store(Path(place))
    assert mirrored_url(Path(place)) is None
    assert shown(Path(place)) == str(Path(place))


@pytest.mark.parametrize(
    "url",
    [
        "s3://user:secret@bucket/x",
        "s3://bucket/x?X-Amz-Signature=secret",
        "s3://bucket/../secret",
        "s3://bucket/.secret",
        "s3://bucket/a secret",
        "s3://bucket//secret",
        "s3://secret::file://",
        "s3::s3://secret:secret@bucket/x",
        "s3::memory://secret/x",
        "s3::file://secret.zip::https://bucket/x",
        "s3://bucket/x#secret",
    ],
)
def test_a_url_of_another_form_is_refused_and_not_repeated(url):
    with pytest.raises(ValueError, match="a store must be s3://BUCKET/FOLDER") as refused:
        url_in(url)
    assert "secret" not in str(refused.value)


def test_a_scheme_of_this_machine_is_refused():
    with pytest.raises(ValueError, match="file:// names a folder of this machine"):
        url_in("file:///tmp/results")


def test_a_mirror_is_shown_as_its_url_on_any_machine(tmp_path):
    with machine(tmp_path / "one"):
        mirror, own = mirror_folder("s3://bucket/sweep"), own_folder("s3://bucket/sweep")
    assert mirror.name == "sweep"
    assert shown(mirror / "0123" / "record.json") == "s3://bucket/sweep/0123/record.json"
    assert mirrored_url(mirror) == "s3://bucket/sweep"
    assert mirrored_url(own) is None
    assert not own.is_relative_to(mirror)
