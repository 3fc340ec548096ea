"use strict";

const $ = (id) => document.getElementById(id);
const images = new Map(); // by number: the files that were searched with, for the browser's Back
let query = null; // {image: number} | {id, run} | {text} | {code}
let running = null;

/** An element with properties and children; text is never read as markup. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function parameters() {
  const found = new URLSearchParams();
  for (const name of ["top", "radius", "label"]) {
    if ($(name).value !== "") found.set(name, $(name).value);
  }
  if (query && query.image === undefined) {
    for (const [name, value] of Object.entries(query)) found.set(name, value);
  }
  return found;
}

/** Takes a new query, as an entry of the browser's history. */
function ask(next) {
  query = next;
  history.pushState(query, "", `?${parameters()}`);
  search();
}

function askImage(file) {
  if (!document.body.dataset.images) return fail("This server has no model to encode images.");
  const most = Number(document.body.dataset.mostBytes);
  if (file.size > most) {
    const found = (file.size / 2 ** 20).toFixed(1);
    return fail(`image: found a file of ${found} MB, expected at most ${most / 2 ** 20} MB`);
  }
  const image = images.size;
  images.set(image, file);
  ask({ image });
}

async function search() {
  if (!query || !$("form").reportValidity()) return;
  if (running) running.abort();
  running = new AbortController();
  const options = { signal: running.signal };
  const file = images.get(query.image);
  if (file) {
    options.method = "POST";
    options.body = file;
    options.headers = { "Content-Type": file.type || "application/octet-stream" };
  }
  $("wrong").hidden = true;
  $("status").textContent = "Searching …";
  $("answers").classList.add("busy");
  try {
    const response = await fetch(`/api/search?${parameters()}`, options);
    const found = await response.json();
    if (!response.ok) throw new Error(found.error);
    showQuery(found.query, file);
    showAnswers(found.answers);
  } catch (error) {
    if (error.name === "AbortError") return; // another search has begun
    fail(error instanceof TypeError ? "The server does not respond." : error.message);
  }
  $("answers").classList.remove("busy");
}

function fail(line) {
  $("status").textContent = "";
  $("wrong").textContent = line;
  $("wrong").hidden = false;
}

function showQuery(found, file) {
  const picture = $("picture");
  URL.revokeObjectURL(picture.src);
  picture.hidden = true;
  picture.onload = () => (picture.hidden = false); // formats that the browser does not show stay hidden
  picture.alt = file ? `Query: ${file.name}` : `Query: ${named(found.labels, found.value)}`;
  picture.src = file ? URL.createObjectURL(file) : found.thumbnail || "";
  if (!file && !found.thumbnail) picture.removeAttribute("src");
  const kinds = { image: "Image", text: "Words", id: "Item", code: "Code" };
  const told = [make("p", { className: "quiet", textContent: kinds[found.kind] })];
  told.push(make("p", { className: "big", textContent: file ? file.name : named(found.labels, found.value) }));
  if (found.kind === "id" && found.labels.length) {
    told.push(make("p", { className: "quiet", textContent: found.value }));
  }
  $("told").replaceChildren(...told);
  if ($("text")) $("text").value = found.kind === "text" ? found.value : "";
}

function named(labels, name) {
  return labels && labels.length ? labels.join(", ") : name;
}

function showAnswers(answers) {
  const shared = inBoth(answers);
  $("answers").replaceChildren(...answers.map((answer) => section(answer, shared)));
  const count = answers.map((answer) => answer.nearest.length);
  const items = `${count.join(" and ")} ${count.length === 1 && count[0] === 1 ? "answer" : "answers"}`;
  $("status").textContent = answers.length > 1 ? `${items}, ${shared.size} of them in both` : items;
  if (document.activeElement === document.body) $("told").focus({ preventScroll: true }); // the chosen item is gone
}

/** The ids that are among the answers of every index. */
function inBoth(answers) {
  if (answers.length < 2) return new Set();
  const names = answers.map((answer) => new Set(answer.nearest.map((item) => item.id)));
  return new Set([...names[0]].filter((name) => names.every((others) => others.has(name))));
}

function section(answer, shared) {
  const title = make("h2", {}, answer.name, make("span", { textContent: ` · ${answer.bits} bits` }));
  const found = make("section", {}, title);
  if (answer.error) found.append(make("p", { className: "wrong", textContent: answer.error }));
  else if (!answer.nearest.length) found.append(make("p", { textContent: "No item within these limits." }));
  const list = make("ol", { className: "items" });
  list.append(...answer.nearest.map((item) => make("li", {}, card(item, answer.run, shared.has(item.id)))));
  found.append(list);
  return found;
}

function card(item, run, both) {
  const button = make("button", { type: "button", className: "item", title: "Search with this item" });
  if (item.thumbnail) {
    const image = make("img", { loading: "lazy", decoding: "async", draggable: false });
    image.alt = named(item.labels, item.id);
    image.onerror = () => image.remove();
    image.src = item.thumbnail;
    button.append(make("span", { className: "frame" }, image));
  }
  const words = make("span", { className: "words" });
  if (both) words.append(make("b", { className: "both", textContent: "both" }));
  words.append(make("b", { className: "distance", textContent: `distance ${item.distance}` }));
  if (item.labels.length) words.append(make("span", { className: "labels", textContent: item.labels.join(", ") }));
  words.append(make("span", { className: "name", textContent: item.id }));
  button.append(words);
  button.onclick = () => {
    ask({ id: item.id, run });
    scrollTo({ top: 0 });
  };
  return button;
}

/** A code at random, so that its nearest items are any. */
function askSome() {
  const bits = Number(document.querySelector("[data-bits]").dataset.bits);
  const bytes = crypto.getRandomValues(new Uint8Array(Math.ceil(bits / 8)));
  if (bits % 8) bytes[bytes.length - 1] &= (1 << bits % 8) - 1;
  ask({ code: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") });
}

/** The query of the page's address, or of an entry of the history. */
function restore(state) {
  const given = new URLSearchParams(location.search);
  for (const name of ["top", "radius", "label"]) {
    if (given.has(name)) $(name).value = given.get(name);
  }
  if (!state) {
    const kind = ["id", "text", "code"].find((name) => given.has(name));
    state = kind && { [kind]: given.get(kind), ...(kind === "id" && { run: given.get("run") || 0 }) };
  }
  if (!state || (state.image !== undefined && !images.has(state.image))) return; // an image is gone after a reload
  query = state;
  search();
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text") && $("text").value.trim();
  if (text) ask({ text });
  else search();
});
for (const name of ["top", "radius", "label"]) $(name).addEventListener("change", search);
$("some").addEventListener("click", askSome);
if ($("file")) {
  $("file").addEventListener("change", () => {
    if ($("file").files.length) askImage($("file").files[0]);
    $("file").value = ""; // the same file may be chosen again
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) askImage(event.clipboardData.files[0]);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
document.addEventListener("dragleave", () => $("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  if (event.dataTransfer.files.length) askImage(event.dataTransfer.files[0]);
});
addEventListener("popstate", (event) => restore(event.state));
restore(history.state);
if (!query && !document.body.dataset.images) askSome(); // nothing else could begin a search
