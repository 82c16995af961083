// The state of the page is its address behind the #: a path, and what is not as usual, as in
// #/speed/latency?dtype=bfloat16&lang=zh. It works from a file, and in a mail to a colleague.
const EVERYWHERE = ["lang", "theme"];

function readAddress() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decoded),
    params: Object.fromEntries(new URLSearchParams(query)),
  };
}

// A part that encodes no text, such as %, stays as it is: it names nothing, and what names nothing has a view.
function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

// The part behind the #, for a link.
function addressOf(path, params = {}) {
  const said = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const query = new URLSearchParams(said).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

// The parameters that hold for every view.
function lasting(params) {
  return Object.fromEntries(Object.entries(params).filter(([name]) => EVERYWHERE.includes(name)));
}

// Says the state in the address without a step that the back button would have to undo.
function replaceAddress(path, params) {
  history.replaceState(null, "", addressOf(path, params));
  document.querySelectorAll("a[data-path]").forEach(pointLink);
}

// A link inside the page: it keeps language and theme, and what was chosen where it stays in the view.
function linkTo(path, text, { more = {}, params = {} } = {}) {
  const link = h("a", { "data-path": JSON.stringify(path), "data-params": JSON.stringify(params), ...more }, text);
  pointLink(link);
  return link;
}

function pointLink(link) {
  const { path: now, params } = readAddress();
  const path = JSON.parse(link.dataset.path);
  const kept = path[0] === (now[0] ?? "answers") && path.length > 1 ? params : lasting(params);
  const isOfView = Object.keys(kept).filter((name) => !name.startsWith("show-") && name !== "claim");
  link.href = addressOf(path, {
    ...Object.fromEntries(isOfView.map((name) => [name, kept[name]])),
    ...JSON.parse(link.dataset.params),
  });
}

function wholeAddress(path, params) {
  return location.href.split("#")[0] + addressOf(path, params);
}
