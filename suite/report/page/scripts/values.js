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
const STEPS_OF = { s: ["s", "ms", "µs", "ns"], B: ["TiB", "GiB", "MiB", "KiB", "B"] };
const PREFIXES = { P: 1e15, T: 1e12, G: 1e9, M: 1e6, k: 1e3, "": 1, m: 1e-3, µ: 1e-6 };
const FIRST_NUMBER = /-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?/i;
const EVERY_NUMBER = new RegExp(FIRST_NUMBER.source.replace("-", "[-−]"), "gi");
const LAST_UNIT = /(\p{L}+|%|×)$/u;

// Of "12.4–12.7 ms" the lower end, of "above 512" the 512; null where there is no number.
function valueOf(text) {
  const number = FIRST_NUMBER.exec(text);
  if (!number) return null;
  const unit = LAST_UNIT.exec(text)?.[1];
  return Number(number[0].replaceAll(",", "")) * (UNITS[unit] ?? 1);
}

// The numbers of a text, as it writes them.
function numbersIn(text) {
  return (text.match(EVERY_NUMBER) ?? []).map((number) => number.replace("−", "-"));
}

// Made once, where it is needed: toLocaleString makes one a call, and the first of all takes 15 ms.
let threeDigits;
function grouped(value) {
  return Number.isSafeInteger(value) ? String(value).replace(/\B(?=(\d{3})+$)/g, ",") : value.toLocaleString("en");
}

// A number with its unit, of a step or a prefix that leaves three digits; without a unit a count or a plain number.
function inUnit(value, unit) {
  threeDigits ??= new Intl.NumberFormat("en", { minimumSignificantDigits: 3, maximumSignificantDigits: 3 });
  const digits = (number) => threeDigits.format(number);
  const step = (sizes, names) => names.find((name) => Math.abs(value) >= sizes[name]) ?? names.at(-1);
  if (!unit && Number.isInteger(value)) return grouped(value);
  if (!unit) return Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  if (unit in STEPS_OF) {
    const name = value ? step(UNITS, STEPS_OF[unit]) : unit;
    return `${digits(value / UNITS[name])} ${name}`;
  }
  const prefix = value && !unit.startsWith("1/") ? step(PREFIXES, Object.keys(PREFIXES)) : "";
  return `${digits(value / PREFIXES[prefix])} ${prefix}${unit.replace(/^1/, "")}`;
}

// Both ends, whose unit is said once.
function rangeInUnit(low, high, unit) {
  const [from, to] = [inUnit(low, unit), inUnit(high, unit)];
  const ending = to.slice(to.indexOf(" "));
  return `${to.includes(" ") && from.endsWith(ending) ? from.slice(0, -ending.length) : from}–${to}`;
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
