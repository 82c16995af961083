// Numbers in tables, as suite/records/numbers.py writes them, read back: a column sorts by value, not by text.
const UNITS = {
  ns: 1e-9,
  µs: 1e-6,
  ms: 1e-3,
  s: 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
  "%": 0.01,
  "×": 1,
};
const FIRST_NUMBER = /-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?/i;
const LAST_UNIT = /(\p{L}+|%|×)$/u;

// Of "12.4–12.7 ms" the lower end, of "above 512" the 512; null where there is no number.
function valueOf(text) {
  const number = FIRST_NUMBER.exec(text);
  if (!number) return null;
  const unit = LAST_UNIT.exec(text)?.[1];
  return Number(number[0].replaceAll(",", "")) * (UNITS[unit] ?? 1);
}

// Indices of the texts in order; what is unknown stays last, either way round.
function sortedIndices(texts, { isNumber, descending }) {
  const collator = new Intl.Collator(document.documentElement.lang, { numeric: true });
  const keys = texts.map((text) => (isNumber ? valueOf(text) : ["", "–"].includes(text) ? null : text));
  const compare = isNumber ? (a, b) => a - b : collator.compare;
  return [...keys.keys()].sort((i, j) => {
    if (keys[i] === null || keys[j] === null) return (keys[i] === null) - (keys[j] === null);
    return descending ? compare(keys[j], keys[i]) : compare(keys[i], keys[j]);
  });
}
