// Small parts that all others build with. Text goes into the page as text, never as markup.
const FRAME = JSON.parse(document.getElementById("frame").textContent);
let LANG = FRAME.lang;

// An element with properties and children; what is null, false or empty is left out.
function h(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && typeof value !== "string") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  const shown = (child) => (typeof child === "string" && !["code", "pre", "script"].includes(tag) ? withMinus(child) : child);
  element.append(
    ...children
      .flat(Infinity)
      .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
      .map(shown),
  );
  return element;
}

// Text as people read it: before a number a hyphen is a minus. What is copied, saved and sorted keeps the hyphen.
function withMinus(text) {
  return typeof text === "string" ? text.replace(/(?<![\p{L}\p{N}=.,_-])-(?=\d)/gu, "−") : text;
}

// The sentence under a key, in the reader's language, with what it is filled in with.
function word(key, values = {}) {
  const sentence = FRAME.languages[LANG].words[key];
  if (sentence === undefined) throw new Error(`no sentence ${key}`);
  return sentence.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString("en") : String(value ?? "");
  });
}

function hasWord(key) {
  return key in FRAME.languages[LANG].words;
}

function quietButton(text, act, more = {}) {
  const button = h("button", { type: "button", class: "quiet-button", ...more }, text);
  button.addEventListener("click", () => act(button));
  return button;
}

// A button that says for a moment that it has done what it is for.
function doneButton(text, done, act) {
  return quietButton(
    text,
    async (button) => {
      await act();
      button.textContent = done;
      setTimeout(() => (button.textContent = text), 1500);
    },
    { "aria-live": "polite" },
  );
}

// A part of the page that stands in it compressed; null where it has none of that name.
const unpackedBlocks = new Map();
function block(name) {
  if (!unpackedBlocks.has(name)) unpackedBlocks.set(name, unpackBlock(name));
  return unpackedBlocks.get(name);
}

async function unpackBlock(name) {
  const element = document.querySelector(`script[data-block="${CSS.escape(name)}"]`);
  return element && JSON.parse(await inflated(element.textContent));
}

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function slug(text) {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}.]+/gu, "-")
    .replace(/^[-.]+|[-.]+$/g, "");
}
