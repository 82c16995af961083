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

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
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
    return typeof value === "number" ? grouped(value) : String(value ?? "");
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

// What `make` gives for a name, made once.
function once(make) {
  const made = new Map();
  return (name) => made.get(name) ?? made.set(name, make(name)).get(name);
}

// A part of the page that stands in it compressed; null where it has none of that name.
const block = once(unpackBlock);

// Of a view in another language than English only what differs stands in the page.
async function unpackBlock(name) {
  const packed = await packedText(`script[data-block="${CSS.escape(name)}"]`);
  const content = packed && (await inflated(packed).json());
  const [lang, view] = name.split("/");
  return view && lang !== "en" ? patched(await unpackBlock(`en/${view}`), content ?? {}) : content;
}

// As suite/report/page/page.py writes a difference: a list holds a new value, an object what differs inside.
function patched(base, changes) {
  if (Array.isArray(changes)) return changes[0];
  for (const [key, part] of Object.entries(changes)) base[key] = patched(base[key], part);
  return base;
}

// The first view is shown while what stands behind the script is still read: an element may be there in part.
const isRead = new Promise((done) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", done);
  else done();
});
async function packedText(selector) {
  if (!document.querySelector(selector)?.nextSibling) await isRead;
  return document.querySelector(selector)?.textContent ?? null;
}

function inflated(packed) {
  const text = atob(packed);
  const bytes = new Uint8Array(text.length);
  // Not Uint8Array.from(text, ...), which takes twenty times as long.
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  // Written by hand: the stream of a Blob takes a way through the browser's own process.
  const { readable, writable } = new DecompressionStream("gzip");
  const writer = writable.getWriter();
  Promise.all([writer.write(bytes), writer.close()]).catch(() => {}); // whoever reads hears of it
  return new Response(readable);
}

function slug(text) {
  return text
    .toLowerCase()
    .replace(/[^\p{L}\p{N}.]+/gu, "-")
    .replace(/^[-.]+|[-.]+$/g, "");
}
