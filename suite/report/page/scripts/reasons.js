// Reasons of the chooser in words, as Python says them: `words` has a template a key, under "decide."
const { sayWhy } = (() => {
  // Three digits as Python's ".3g" has them: an exact half goes to the even digit.
  function general(value) {
    const [digits, power] = value.toExponential(40).split("e"),
      kept = digits.slice(0, 4);
    if (/^50*$/.test(digits.slice(4)) && Number(kept.at(-1)) % 2 === 0) return general(Number(`${kept}e${power}`));
    if (value !== 0 && Math.abs(value) < 1e-4) {
      const [mantissa, exponent] = value.toExponential(2).split("e");
      return `${Number(mantissa)}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
    }
    return String(Number(value.toPrecision(3)));
  }

  function bytesOf(size) {
    const gib = size / 2 ** 30;
    return gib >= 1000 ? `${Math.round(gib).toLocaleString("en-US")} GiB` : `${general(gib)} GiB`;
  }

  function millisecondsOf(seconds) {
    const value = 1e3 * seconds;
    return value > 999 ? Math.round(value).toLocaleString("en-US") : general(value);
  }

  const WRITTEN = {
    weights: bytesOf,
    room: bytesOf,
    memory: bytesOf,
    sequence: bytesOf,
    share: (value) => String(Math.round(100 * value)),
    largest: (value) => value.toLocaleString("en-US"),
    smallest: (value) => value.toLocaleString("en-US"),
    took: millisecondsOf,
    allowed: millisecondsOf,
  };

  function sayWhy(words, why) {
    return words[`decide.${why.key}`].replace(/\{(\w+)\}/g, (_, name) => {
      const value = why[name];
      if (name === "batch" && why.key === "why.batch") return value.toLocaleString("en-US");
      return name in WRITTEN ? WRITTEN[name](value) : String(value);
    });
  }

  return { sayWhy };
})();
