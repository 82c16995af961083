// Rows of text as files, on the clipboard and as Markdown, safe for spreadsheets.
const RUNS_IN_A_SPREADSHEET = /^\s*[=+\-@＝＋－＠]|^[\t\r\n]/;
const PLAIN_NUMBER = /^[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?$/i;

// A text cell that begins as a formula does gets an apostrophe, as in suite/report/page/written_tables.py.
function safeCell(cell) {
  const text = cell === null || cell === undefined ? "" : String(cell);
  return RUNS_IN_A_SPREADSHEET.test(text) && !PLAIN_NUMBER.test(text) ? "'" + text : text;
}

// RFC 4180, whatever the delimiter: spreadsheets read pasted text by the same rule.
function separated(rows, delimiter) {
  const special = delimiter === "," ? /[",\r\n]/ : /["\t\r\n]/;
  const written = (text) => (special.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return rows.map((row) => row.map((cell) => written(safeCell(cell))).join(delimiter) + "\r\n").join("");
}

// A table of Markdown under a line of its own, with where it comes from.
function inMarkdown(title, rows, address) {
  const cell = (text) =>
    String(text ?? "")
      .replaceAll("|", "\\|")
      .replaceAll("\n", " ")
      .replaceAll("<", "&lt;");
  const line = (row) => `| ${row.map(cell).join(" | ")} |\n`;
  const [head, ...body] = rows;
  return `**${cell(title)}**\n\n${line(head)}${line(head.map(() => "---"))}${body.map(line).join("")}\n${address}\n`;
}

// The mark at its beginning tells Excel that the text is UTF-8.
function saveCsv(rows, name) {
  save(new Blob(["\ufeff", separated(rows, ",")], { type: "text/csv" }), `${fileName(name)}.csv`);
}

function save(blob, name) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function fileName(parts) {
  const name = parts
    .join("-")
    .toLowerCase()
    .replace(/[^a-z0-9.]+/g, "-")
    .replace(/^[-.]+|[-.]+$/g, "");
  return name.slice(0, 100);
}

// Pages from a file may have no clipboard, or may not use it.
async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { class: "offscreen" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}
