"""Numbers as people read them: three digits and a unit. Bytes go by powers of 1024, everything else by 1000."""

SI = ("", "k", "M", "G", "T", "P", "E")
IEC = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


def seconds_text(seconds: float) -> str:
    for factor, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            return f"{_three_digits(seconds / factor)} {unit}"
    return f"{_three_digits(seconds / 1e-9)} ns"


def bytes_text(count: float) -> str:
    return _scaled(count, 1024, IEC, "B")


def flops_text(count: float) -> str:
    return _scaled(count, 1000, SI, "FLOP")


def _scaled(value: float, base: int, prefixes: tuple[str, ...], unit: str) -> str:
    index = 0
    while abs(value) >= base and index < len(prefixes) - 1:
        value, index = value / base, index + 1
    return f"{_three_digits(value)} {prefixes[index]}{unit}"


def _three_digits(value: float) -> str:
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
