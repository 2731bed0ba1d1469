"use strict";
// Sorts tables, shows one table of many, and runs the browser of adversarial examples. Texts are
// only ever set as text, never as HTML: an adversarial example may hold anything.

const framed = self !== top;
const element = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// Tables

function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = make("button", { type: "button" }, header.textContent);
    header.replaceChildren(button);
    button.addEventListener("click", () => sort(table, header, column));
  });
}

function sort(table, header, column) {
  const numeric = header.classList.contains("number");
  const up = header.ariaSort ? header.ariaSort !== "ascending" : !numeric;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = (row) => {
    const cell = row.cells[column];
    if (!numeric) return cell.textContent;
    const number = parseFloat(cell.dataset.value ?? cell.textContent.replaceAll(",", ""));
    return Number.isNaN(number) ? null : number;
  };
  const compare = (a, b) => {
    const [first, second] = [value(a), value(b)];
    if (first === null || second === null) return (first === null) - (second === null);
    const order = numeric ? first - second : first.localeCompare(second);
    return up ? order : -order;
  };
  table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
}

function choosable(choice) {
  const tables = [...choice.parentElement.querySelectorAll("[data-choice]")];
  const select = choice.querySelector("select");
  const show = () => {
    for (const table of tables) {
      table.hidden = select.value !== "" && table.dataset.choice !== select.value;
    }
  };
  select.addEventListener("change", show);
  choice.hidden = false;
  show();
}

// Content wider than the screen scrolls in its own box; by keyboard too.
function reachable() {
  for (const box of document.querySelectorAll(".scroll")) {
    const name = box.querySelector("caption")?.textContent ?? box.firstElementChild.ariaLabel;
    if (box.scrollWidth > box.clientWidth) {
      Object.assign(box, { tabIndex: 0, role: "region", ariaLabel: `${name} (scrolls sideways)` });
    } else {
      for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
    }
  }
}

// The examples: rows as browser.py makes them

const STATUSES = ["successful", "failed", "skipped", "error"];
const AXES = ["dataset", "model", "head", "training", "attack", "seed"];
const NAMES = { dataset: "Data set" };
const PAGE = 10;

const data = JSON.parse(element("data").textContent);

const examples = data.examples.map((row) => {
  const [cell, original, status, ...rest] = row;
  const [dataset, id, label, text] = data.originals[original];
  const example = { id, label, text, key: data.cells[cell][0], status: STATUSES[status] };
  AXES.forEach((axis, number) => {
    example[axis] = String(data.axes[axis][data.cells[cell][number + 1]]);
  });
  example.labels = data.labels[dataset];
  example.error = "";
  if (example.status === "error") return { ...example, error: rest[0], edits: [] };
  const [queries, changed, words, similarity, distance, bits, before, after, scores, edits] = rest;
  const measured = { similarity, distance, bits };
  return { ...example, queries, changed, words, ...measured, before, after, scores, edits };
});

// A text in pieces: unchanged text as strings, what an edit removes or inserts as marked elements.
// Positions count characters, which is not what JavaScript's strings are indexed by.
function pieces(example, tag) {
  const characters = Array.from(example.text);
  const found = [];
  let position = 0;
  for (const [start, length, inserted] of example.edits) {
    found.push(characters.slice(position, start).join(""));
    position = start + length;
    const text = tag === "del" ? characters.slice(start, position).join("") : inserted;
    if (text) found.push(make(tag, {}, text));
  }
  found.push(characters.slice(position).join(""));
  return found;
}

function searched(example) {
  if (example.searched === undefined) {
    const perturbed = pieces(example, "ins").map((piece) => piece.textContent ?? piece);
    const texts = [example.text, perturbed.join(""), example.error];
    example.searched = texts.join("\n").toLowerCase();
  }
  return example.searched;
}

const state = { q: "", page: "1", id: "", cell: "", status: "" };
for (const axis of AXES) state[axis] = "";
const EMPTY = { ...state };

function matching() {
  const query = state.q.trim().toLowerCase();
  return examples.filter(
    (example) =>
      [...AXES, "status"].every((name) => !state[name] || example[name] === state[name]) &&
      (!state.id || String(example.id) === state.id) &&
      (!state.cell || example.key === state.cell) &&
      (!query || searched(example).includes(query)),
  );
}

function link(changes) {
  const chosen = Object.entries({ ...EMPTY, ...changes }).filter(
    ([name, value]) => value !== EMPTY[name] || name === "status",
  );
  return `#examples?${new URLSearchParams(chosen)}`;
}

const percent = (thousandths) => `${(thousandths / 10).toFixed(1)} %`;

function score(example, label, after) {
  const found = (example.scores ?? []).find(([name]) => name === label);
  return found ? ` ${percent(found[after ? 2 : 1])}` : "";
}

function prediction(example, label, after) {
  if (label === null) return "";
  const name = example.labels[label] ?? label;
  const right = label === example.label;
  const truth = right ? "" : `; ${example.labels[example.label]}${score(example, example.label, after)}`;
  return `${right ? "✓ right" : "✗ wrong"}: ${name}${score(example, label, after)}${truth}`;
}

function side(title, example, tag, label) {
  return make(
    "div", {},
    make("h4", {}, title),
    make("p", { className: "text", dir: "auto" }, ...pieces(example, tag)),
    make("p", { className: "scores" }, prediction(example, label, tag === "ins")),
  );
}

function card(example) {
  const method = example.training === "standard" ? example.head : `${example.head} + ${example.training}`;
  const title = `${example.dataset} ${example.id} · ${example.model} · ${method} · ${example.attack}`;
  const header = make(
    "header", {},
    make("h3", {}, title),
    make("span", { className: `status ${example.status}` }, example.status),
  );
  const texts = make("div", { className: "texts" }, side("Original", example, "del", example.before ?? null));
  const facts = [`true label: ${example.labels[example.label] ?? example.label}`];
  if (example.status === "error") {
    texts.append(make("div", {}, make("h4", {}, "Error"), make("p", {}, example.error)));
  } else if (example.status === "skipped") {
    facts.push("wrong before the attack");
  } else {
    const name = example.status === "failed" ? "Last try, not fooled" : "Perturbed";
    texts.append(side(name, example, "ins", example.after));
    facts.push(`${example.changed} of ${example.words} words changed`, `${example.queries} queries`);
    if (example.distance !== null) facts.push(`edit distance ${example.distance}`);
    if (example.bits !== null) {
      const [first, last] = example.bits.map((each) => each.toFixed(2));
      facts.push(`${first} → ${last} bits per character`);
    }
    if (example.similarity !== null) facts.push(`similarity ${example.similarity.toFixed(2)}`);
  }
  if (data.axes.seed.length > 1) facts.push(`seed ${example.seed}`);
  const { dataset, attack, key: cell } = example;
  const id = String(example.id);
  const meta = make(
    "p", { className: "meta" }, facts.join(" · "),
    make("a", { href: link({ dataset, attack, id }) }, "all heads on this text"),
    make("a", { href: link({ cell, id }) }, "link to this"),
  );
  return make("li", { className: "card" }, header, texts, meta);
}

function show() {
  const found = matching();
  const pages = Math.max(1, Math.ceil(found.length / PAGE));
  const page = Math.min(Math.max(1, parseInt(state.page, 10) || 1), pages);
  state.page = String(page);
  const first = (page - 1) * PAGE;
  const cards = found.slice(first, first + PAGE).map(card);
  element("cards").replaceChildren(...cards);
  const all = data.shown < data.total ? `, a sample of ${data.total.toLocaleString("en")}` : "";
  const where = found.length ? `; ${first + 1}–${first + cards.length} shown` : "";
  element("found").textContent =
    `${found.length.toLocaleString("en")} of ${data.shown.toLocaleString("en")} examples${all}${where}.`;
  element("pages").hidden = pages === 1;
  element("where").textContent = `Page ${page} of ${pages}`;
  element("previous").disabled = page === 1;
  element("next").disabled = page === pages;
  for (const control of element("filters").elements) {
    if (control.name) control.value = state[control.name];
  }
  element("single").hidden = !state.id && !state.cell;
}

function change(changes) {
  Object.assign(state, { page: "1" }, changes);
  show();
  if (!framed) history.replaceState(null, "", link(state));
}

function choice(name, values) {
  const select = make("select", { name }, make("option", { value: "" }, "all"));
  select.append(...values.map((value) => make("option", { value }, value)));
  select.addEventListener("change", () => change({ [name]: select.value }));
  return field(NAMES[name] ?? name[0].toUpperCase() + name.slice(1), select);
}

function field(name, control) {
  control.id = `filter-${control.name}`;
  const label = make("label", { htmlFor: control.id }, name);
  return make("div", { className: `field ${control.type}` }, label, control);
}

function filters() {
  const form = element("filters");
  for (const axis of AXES) {
    if (data.axes[axis].length > 1) form.append(choice(axis, data.axes[axis].map(String)));
  }
  form.append(choice("status", STATUSES.filter((s) => examples.some((e) => e.status === s))));
  const search = make("input", { type: "search", name: "q", autocomplete: "off", spellcheck: false });
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => change({ q: search.value }), 150);
  });
  form.append(field("Search in the texts", search));
  const single = make("button", { type: "button", id: "single" }, "Show other texts too");
  single.addEventListener("click", () => change({ id: "", cell: "" }));
  form.append(single);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
}

function turn(by) {
  change({ page: String(parseInt(state.page, 10) + by) });
  element("cards").focus({ preventScroll: true });
  element("found").scrollIntoView();
}

function fromAddress(address) {
  const [place, query] = address.split("?");
  if (place !== "#examples" || query === undefined) return false;
  const asked = new URLSearchParams(query);
  for (const name of Object.keys(EMPTY)) state[name] = asked.get(name) ?? EMPTY[name];
  show();
  element("examples").scrollIntoView();
  return true;
}

// In a frame, as MLflow shows it, the page has no address of its own that links could lead to.
function follow(event) {
  const address = event.target.closest("a")?.getAttribute("href") ?? "";
  if (!address.startsWith("#")) return;
  event.preventDefault();
  if (!fromAddress(address)) element(address.slice(1)).scrollIntoView();
}

document.querySelectorAll("table").forEach(sortable);
document.querySelectorAll(".choice").forEach(choosable);
filters();
element("previous").addEventListener("click", () => turn(-1));
element("next").addEventListener("click", () => turn(1));
addEventListener("hashchange", () => fromAddress(location.hash));
if (framed) addEventListener("click", follow);
if (!fromAddress(location.hash)) {
  if (examples.some((example) => example.status === "successful")) state.status = "successful";
  show();
}
reachable();
addEventListener("resize", reachable);
