import pytest

from suite.theory.devices.gpus import gpu_count, gpus_from


def test_gpus_are_a_count_and_a_size_or_a_device():
    assert (gpus_from("4x80").count, gpus_from("4x80").memory_bytes, gpus_from("4x80").device) == (4, 80 * 10**9, None)
    by_alias, by_name = gpus_from("2xh100"), gpus_from("2xh100-sxm5-80gb")
    assert by_alias == by_name
    assert by_name.device.name == "h100-sxm5-80gb"
    assert by_name.memory_bytes == 80 * 10**9
    assert [gpu_count(text) for text in (None, "8x24")] == [1, 8]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("80", r"gpus must be how many \(at least 1\), an x, and the GB or the name of one.*; got '80'"),
        (4, r"gpus must be how many \(at least 1\), an x, .*; got 4"),
        ("0x80", r"gpus must be how many \(at least 1\), an x, .*; got '0x80'"),
        ("4x0", r"gpus must have more than 0 GB of memory; got '4x0'"),
        ("4xh10", r"gpus must name the decimal GB of one GPU, or one of a10, .*; got 'h10'; did you mean h100"),
    ],
)
def test_what_is_no_set_of_gpus_is_refused_in_a_sentence(text, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        gpus_from(text)
